// Package report collects what each server did on each line and writes it as
// JSON, with the machine it ran on, and as a table for people.
package report

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/polylog-mq/polylog/bench/load"
	"github.com/polylog-mq/polylog/bench/peer"
)

// Sample is one run of one line on one server.
type Sample struct {
	load.Result
	CPUSeconds   float64 `json:"server_cpu_seconds"`
	Resident     int64   `json:"server_resident_bytes"`
	BytesWritten int64   `json:"server_bytes_written"`
}

// Report is a whole run.
type Report struct {
	Time    time.Time         `json:"time"`
	Commit  string            `json:"commit"`
	Machine Machine           `json:"machine"`
	Servers map[string]Server `json:"servers"`
	Lines   []Line            `json:"lines"`
}

// Server is what a column ran.
type Server struct {
	Version      string  `json:"version"`
	StartSeconds float64 `json:"start_seconds"`
}

// Line is a row: samples by column.
type Line struct {
	Name    string              `json:"name"`
	Columns []string            `json:"columns"`
	Samples map[string][]Sample `json:"samples"`
}

// New begins a report: it measures the machine with files in dir and asks the
// checkout at root for its commit.
func New(ctx context.Context, dir, root string) *Report {
	commit := "unknown"
	cmd := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty")
	cmd.Dir = root
	if out, err := cmd.Output(); err == nil {
		commit = strings.TrimSpace(string(out))
	}
	return &Report{Time: time.Now().UTC(), Commit: commit, Machine: measureMachine(dir), Servers: map[string]Server{}}
}

// AddServer notes what a column ran.
func (r *Report) AddServer(column string, s *peer.Server) {
	r.Servers[column] = Server{Version: s.Version, StartSeconds: s.Started.Seconds()}
}

// Add notes one sample.
func (r *Report) Add(line, column string, s Sample) {
	i := slices.IndexFunc(r.Lines, func(l Line) bool { return l.Name == line })
	if i < 0 {
		i = len(r.Lines)
		r.Lines = append(r.Lines, Line{Name: line, Samples: map[string][]Sample{}})
	}
	l := &r.Lines[i]
	if !slices.Contains(l.Columns, column) {
		l.Columns = append(l.Columns, column)
	}
	l.Samples[column] = append(l.Samples[column], s)
}

// Write stores the report as JSON in dir, under a name that begins with peer, and
// prints the table to w.
func (r *Report) Write(dir, peer string, w io.Writer) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	path := filepath.Join(dir, peer+"-"+r.Time.Format("20060102-150405")+".json")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := r.table(w); err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, "\nwritten to", path)
	return err
}

// table prints medians over the rounds; the first column's ratio to each other
// is the median of the rounds' ratios, since the machine drifts between them.
func (r *Report) table(w io.Writer) error {
	fmt.Fprintf(w, "commit %s; %s\n\n", r.Commit, r.Machine)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "line\tserver\trecords/s\tMB/s\tp50 ms\tp99 ms\tp99.9 ms\tCPU µs/request\tCPU s/GB\tRSS MB\twritten/byte\tspeed ratio")
	for _, l := range r.Lines {
		for _, c := range l.Columns {
			s := l.Samples[c]
			med := func(f func(Sample) float64) float64 { return median(s, f) }
			ratio := "1"
			if c != l.Columns[0] {
				ratio = fmt.Sprintf("%.2f", ratios(l.Samples[l.Columns[0]], s))
			}
			fmt.Fprintf(t, "%s\t%s\t%.0f\t%.1f\t%.2f\t%.2f\t%.2f\t%.1f\t%.2f\t%.0f\t%.2f\t%s\n", l.Name, c,
				med(Sample.PerSecond), med(Sample.MegabytesPerSecond),
				med(func(s Sample) float64 { return float64(s.Latency.P50) / 1e3 }),
				med(func(s Sample) float64 { return float64(s.Latency.P99) / 1e3 }),
				med(func(s Sample) float64 { return float64(s.Latency.P999) / 1e3 }),
				med(func(s Sample) float64 { return s.CPUSeconds * 1e6 / max(float64(s.Requests), 1) }),
				med(func(s Sample) float64 { return s.CPUSeconds * 1e9 / max(float64(s.Bytes), 1) }),
				med(func(s Sample) float64 { return float64(s.Resident) / 1e6 }),
				med(func(s Sample) float64 { return float64(s.BytesWritten) / max(float64(s.Bytes), 1) }),
				ratio)
		}
	}
	return t.Flush()
}

func median(s []Sample, f func(Sample) float64) float64 {
	v := make([]float64, len(s))
	for i := range s {
		v[i] = f(s[i])
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func ratios(a, b []Sample) float64 {
	v := make([]float64, min(len(a), len(b)))
	for i := range v {
		v[i] = a[i].PerSecond() / b[i].PerSecond()
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// Machine is what the run's machine can do at best.
type Machine struct {
	CPUs            int     `json:"cpus"`
	MemoryCopyGBs   float64 `json:"memory_copy_gb_per_s"`
	SyncWriteMBs    float64 `json:"sync_write_1mib_mb_per_s"`
	SyncWriteSmall  float64 `json:"sync_write_4kib_ms"`
	LoopbackCopyGBs float64 `json:"loopback_copy_gb_per_s"`
}

// String names the machine's limits in one line.
func (m Machine) String() string {
	return fmt.Sprintf("%s/%s, %d CPUs; memory copy %.1f GB/s, loopback %.1f GB/s, 1 MiB write+fdatasync %.0f MB/s, 4 KiB %.2f ms",
		runtime.GOOS, runtime.GOARCH, m.CPUs, m.MemoryCopyGBs, m.LoopbackCopyGBs, m.SyncWriteMBs, m.SyncWriteSmall)
}
