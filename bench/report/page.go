package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// columns returns all columns in the order in which they came.
func (r *Report) columns() (all []string) {
	for i := range r.Lines {
		for _, c := range r.Lines[i].Columns {
			if !slices.Contains(all, c) {
				all = append(all, c)
			}
		}
	}
	return all
}

// sides returns the column that others are compared with, and those.
func (r *Report) sides() (ours string, peers []string) {
	all := r.columns()
	if len(all) == 0 {
		return "", nil
	}
	return all[0], all[1:]
}

// page returns the report as Markdown.
func (r *Report) page(name string, plots []plot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", r.Title)
	fmt.Fprintf(&b, "A run of %s, commit %s; %s. %s Medians over the rounds.\n\n", r.Time.Format("2006-01-02 15:04 UTC"), r.Commit, r.Options, r.Columns)
	fmt.Fprintf(&b, "Machine: %s.\n\n", r.Machine)
	r.serverTable(&b)
	r.goalTable(&b)
	r.summary(&b)
	for _, p := range plots {
		fmt.Fprintf(&b, "![%s](%s-%s.svg)\n\n", p.title, name, p.name)
	}
	r.details(&b)
	if len(r.Left) > 0 {
		fmt.Fprintf(&b, "## Not run\n\n")
		for _, s := range r.Left {
			fmt.Fprintf(&b, "- %s\n", strings.ReplaceAll(s, "\n", " "))
		}
	}
	return b.String()
}

func (r *Report) serverTable(b *strings.Builder) {
	row(b, "server", "version", "listens after, s", "first acknowledged record, s", "idle memory, MB", "idle processor, %", "largest memory seen, MB", "after kill -9 serves again, s")
	rule(b, 8)
	for _, c := range slices.Sorted(maps.Keys(r.Servers)) {
		s := r.Servers[c]
		restart := "-"
		if s.RestartSeconds > 0 {
			restart = fmt.Sprintf("%.2f (%.1f GB)", s.RestartSeconds, float64(s.RestartBytes)/1e9)
		}
		idle := "-"
		if s.IdleResident > 0 {
			idle = fmt.Sprintf("%.1f", s.IdleCPU*100)
		}
		row(b, c, s.Version, figure("%.3f", s.StartSeconds), figure("%.3f", s.FirstAckSeconds),
			figure("%.0f", float64(s.IdleResident)/1e6), idle, figure("%.0f", float64(r.largest(c))/1e6), restart)
	}
	b.WriteString("\n")
}

// largest returns the most memory that a server was seen with, also as a column
// that is it under other settings.
func (r *Report) largest(server string) (most int64) {
	for i := range r.Lines {
		for column, samples := range r.Lines[i].Samples {
			for _, x := range samples {
				if column == server || strings.HasPrefix(column, server+",") {
					most = max(most, x.Resident)
				}
			}
		}
	}
	return most
}

// summary is what the first column reached, as ratios.
func (r *Report) summary(b *strings.Builder) {
	ours, peers := r.sides()
	fmt.Fprintf(b, "## Ratios\n\nThe figure of %s over that of each other: of speed more is better, of latency and processor time less.\n\n", ours)
	head := []string{"line"}
	for _, c := range peers {
		head = append(head, "speed, × "+c, "p50", "p99", "processor time per byte")
	}
	row(b, append(head, "share of the machine's limit")...)
	rule(b, len(head)+1)
	for i := range r.Lines {
		l := &r.Lines[i]
		cells := []string{l.Name}
		for _, c := range peers {
			for _, f := range []func(Sample) float64{Sample.PerSecond, p50, p99, Sample.CPUPerGB} {
				cells = append(cells, figure("%.2f", l.ratio(ours, c, f)))
			}
		}
		limit := "-"
		if s := l.share(&r.Machine, ours); s > 0 {
			limit = fmt.Sprintf("%.0f %% (%s)", s*100, l.Limit)
		}
		row(b, append(cells, limit)...)
	}
	b.WriteString("\n")
}

// row writes a row of a table, rule what stands below its head.
func row(b *strings.Builder, cells ...string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

func rule(b *strings.Builder, n int) { b.WriteString(strings.Repeat("|---", n) + "|\n") }

// figure formats a value; 0 is that there is none.
func figure(format string, v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf(format, v)
}

// details is every figure.
func (r *Report) details(b *strings.Builder) {
	b.WriteString("## Figures\n\n")
	row(b, "line", "server", "records/s", "MB/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU µs/request", "CPU s/GB", "memory MB", "written/byte", "disk MB", "rounds")
	rule(b, 13)
	for i := range r.Lines {
		l := &r.Lines[i]
		for _, c := range l.Columns {
			med := func(format string, f func(Sample) float64) string { return figure(format, l.median(c, f)) }
			row(b, l.Name, c, med("%.0f", Sample.PerSecond), med("%.1f", Sample.MegabytesPerSecond),
				med("%.2f", p50), med("%.2f", p99), med("%.2f", p999), med("%.1f", Sample.CPUPerRequest), med("%.2f", Sample.CPUPerGB),
				med("%.0f", func(s Sample) float64 { return float64(s.Resident) / 1e6 }), med("%.2f", Sample.WrittenPerByte),
				med("%.0f", func(s Sample) float64 { return float64(s.DiskUsed) / 1e6 }), fmt.Sprint(len(l.Samples[c])))
		}
	}
	b.WriteString("\n")
}

// plots returns the drawings that there is something to draw for.
func (r *Report) plots() []plot {
	ours, peers := r.sides()
	speed := plot{name: "speed", title: "Speed of " + ours + " over that of others", unit: "×", reference: 1}
	cpu := plot{name: "cpu", title: "Processor time per byte of " + ours + " over that of others", unit: "×", reference: 1}
	latency := plot{name: "latency", title: "Latency, p50 and p99", unit: "ms"}
	cost := plot{name: "partitions", title: "Processor time per record by number of partitions", unit: "µs"}
	for i := range r.Lines {
		l := &r.Lines[i]
		var speeds, cpus, latencies, costs []bar
		for _, c := range peers {
			speeds = append(speeds, bar{"× " + c, l.ratio(ours, c, Sample.PerSecond)})
			cpus = append(cpus, bar{"× " + c, l.ratio(ours, c, Sample.CPUPerGB)})
		}
		for _, c := range l.Columns {
			latencies = append(latencies, bar{c + ", p50", l.median(c, p50)}, bar{c + ", p99", l.median(c, p99)})
			costs = append(costs, bar{c, l.median(c, Sample.CPUPerRecord)})
		}
		speed.add(l.Name, speeds...)
		cpu.add(l.Name, cpus...)
		if strings.Contains(l.Name, "one at a time") || strings.HasPrefix(l.Name, "open loop") {
			latency.add(l.Name, latencies...)
		}
		if strings.Contains(l.Name, "partitions") && strings.HasPrefix(l.Name, "produce") {
			cost.add(l.Name, costs...)
		}
	}
	return slices.DeleteFunc([]plot{speed, cpu, latency, cost}, func(p plot) bool { return len(p.groups) == 0 })
}
