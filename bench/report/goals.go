package report

import (
	"fmt"
	"strings"
)

// Figure is one of those that lines are compared by.
type Figure string

// The figures that goals are set for.
const (
	Speed Figure = "speed"
	P50   Figure = "p50"
	P99   Figure = "p99"
	CPU   Figure = "processor time per byte"
	// Memory is what the server's process has at the end of the line.
	Memory Figure = "memory"
)

func (f Figure) of() func(Sample) float64 {
	switch f {
	case P50:
		return p50
	case P99:
		return p99
	case CPU:
		return Sample.CPUPerGB
	case Memory:
		return resident
	default:
		return Sample.PerSecond
	}
}

// Goal is what the first column is to reach on a line: its figure over that of
// another column, at least or at most. Of the two bounds one is set.
type Goal struct {
	Figure  Figure  `json:"figure"`
	Over    string  `json:"over"` // the other column
	AtLeast float64 `json:"at_least,omitempty"`
	AtMost  float64 `json:"at_most,omitempty"`
}

// AtLeast is a goal over a column.
func AtLeast(f Figure, over string, v float64) Goal { return Goal{Figure: f, Over: over, AtLeast: v} }

// AtMost is the other kind.
func AtMost(f Figure, over string, v float64) Goal { return Goal{Figure: f, Over: over, AtMost: v} }

// Aim sets the goals of a line, whether or not it will be run.
func (r *Report) Aim(line string, goals ...Goal) {
	if r.goals == nil {
		r.goals = map[string][]Goal{}
	}
	r.goals[line] = goals
}

// verdict is a goal with what was reached of it.
type verdict struct {
	line, what string
	goal       Goal
	got        float64
}

func (v verdict) reached() bool {
	if v.goal.AtLeast > 0 {
		return v.got >= v.goal.AtLeast
	}
	return v.got <= v.goal.AtMost
}

// cells are the verdict as a row: what was to be, what is, and whether that is enough.
func (v verdict) cells(unit string) []string {
	bound := fmt.Sprintf("≤ %g%s", v.goal.AtMost, unit)
	if v.goal.AtLeast > 0 {
		bound = fmt.Sprintf("≥ %g%s", v.goal.AtLeast, unit)
	}
	answer := "**no**"
	if v.reached() {
		answer = "yes"
	}
	return []string{v.line, v.what, bound, fmt.Sprintf("%.2f%s", v.got, unit), answer}
}

// verdicts judges every goal that there are figures for.
func (r *Report) verdicts() (all [][]string) {
	ours, _ := r.sides()
	for i := range r.Lines {
		l := &r.Lines[i]
		for _, g := range r.goals[l.Name] {
			if got := l.ratio(ours, g.Over, g.Figure.of()); got > 0 {
				all = append(all, verdict{l.Name, string(g.Figure) + ", × " + g.Over, g, got}.cells(""))
			}
		}
	}
	return append(all, r.serverVerdicts(ours)...)
}

// serverVerdicts judges what belongs to no line.
func (r *Report) serverVerdicts(ours string) (all [][]string) {
	s, ok := r.Servers[ours]
	if !ok {
		return nil
	}
	judge := func(what string, atMost, got float64, unit string) {
		if got > 0 {
			all = append(all, verdict{"the server", what, Goal{AtMost: atMost}, got}.cells(unit))
		}
	}
	judge("idle memory", 40, float64(s.IdleResident)/1e6, " MB")
	for _, peer := range [...]string{"kafka", "rabbitmq"} {
		if most := r.largest(peer); most > 0 {
			judge("largest memory seen, × "+peer, 0.2, float64(r.largest(ours))/float64(most), "")
		}
	}
	judge("first acknowledged record after the start", 150, s.FirstAckSeconds*1e3, " ms")
	few, many := r.costAt(ours, " 16 partitions"), r.costAt(ours, " 10000 partitions")
	if few > 0 {
		judge("processor time per record, 10,000 partitions over 16", 1.3, many/few, "")
	}
	return all
}

// costAt returns the processor time per record of the line whose name ends so.
func (r *Report) costAt(column, suffix string) float64 {
	for i := range r.Lines {
		if l := &r.Lines[i]; strings.HasSuffix(l.Name, suffix) {
			return l.median(column, Sample.CPUPerRecord)
		}
	}
	return 0
}

// goalTable is what was to be reached, and what was.
func (r *Report) goalTable(b *strings.Builder) {
	all := r.verdicts()
	if len(r.goals) == 0 || len(all) == 0 {
		return
	}
	met := 0
	for _, cells := range all {
		if cells[4] == "yes" {
			met++
		}
	}
	fmt.Fprintf(b, "## Goals\n\n%d of %d reached.\n\n", met, len(all))
	row(b, "line", "figure", "goal", "measured", "reached")
	rule(b, 5)
	for _, cells := range all {
		row(b, cells...)
	}
	b.WriteString("\n")
}
