// Package report collects what each server did on each line and writes it as
// JSON, with the machine it ran on, and as a table and plots for people.
package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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
	// DiskUsed is what the server's folder took at the end.
	DiskUsed int64 `json:"server_disk_bytes"`
}

// CPUPerRequest returns microseconds of the server's processor time.
func (s Sample) CPUPerRequest() float64 { return per(s.CPUSeconds*1e6, s.Requests) }

// CPUPerRecord returns the same for a record.
func (s Sample) CPUPerRecord() float64 { return per(s.CPUSeconds*1e6, s.Records) }

// CPUPerGB returns seconds of the server's processor time per 10^9 bytes of
// values.
func (s Sample) CPUPerGB() float64 { return per(s.CPUSeconds*1e9, s.Bytes) }

// WrittenPerByte returns the bytes given to the disk per byte of values.
func (s Sample) WrittenPerByte() float64 { return per(float64(s.BytesWritten), s.Bytes) }

func per(v float64, n int64) float64 {
	if n == 0 {
		return 0
	}
	return v / float64(n)
}

// Limit is what of the machine bounds a line.
type Limit string

// The limits. A line is compared with the speed of its limit, SyncLatency with
// the time that a synced write of 4 KiB takes.
const (
	NoLimit     Limit = ""
	SyncLatency Limit = "sync of 4 KiB"
	DiskWrite   Limit = "synced write"
	Loopback    Limit = "loopback copy"
)

// Report is a whole run.
type Report struct {
	Time    time.Time         `json:"time"`
	Commit  string            `json:"commit"`
	Title   string            `json:"title"`
	Columns string            `json:"columns"` // what they are
	Options string            `json:"options"`
	Machine Machine           `json:"machine"`
	Servers map[string]Server `json:"servers"`
	Lines   []Line            `json:"lines"`
	// Left are the lines, or parts, that were not run, and why.
	Left []string `json:"left,omitempty"`

	goals map[string][]Goal // by line
}

// Server is what a column ran.
type Server struct {
	Version      string  `json:"version"`
	StartSeconds float64 `json:"start_seconds"`
	// FirstAckSeconds is from the start of the process, on an empty folder, to
	// the first acknowledged record, a topic made for it in between.
	FirstAckSeconds float64 `json:"first_ack_seconds,omitempty"`
	IdleResident    int64   `json:"idle_resident_bytes,omitempty"`
	// IdleCPU is the share of one processor that the idle server takes.
	IdleCPU float64 `json:"idle_cpu_share,omitempty"`
	// RestartSeconds is from the start of the process after kill -9 to the next
	// acknowledged record, with RestartBytes of values stored.
	RestartSeconds float64 `json:"restart_seconds,omitempty"`
	RestartBytes   int64   `json:"restart_bytes,omitempty"`
}

// Line is a row: samples by column.
type Line struct {
	Name    string              `json:"name"`
	Limit   Limit               `json:"limit,omitempty"`
	Columns []string            `json:"columns"`
	Samples map[string][]Sample `json:"samples"`
}

// New begins a report: it measures the machine with files in dir and asks the
// checkout at root for its commit. What the columns are, and how much is run, is
// said on the page.
func New(ctx context.Context, dir, root, title, columns string, extent Extent) *Report {
	commit := "unknown"
	cmd := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty")
	cmd.Dir = root
	if out, err := cmd.Output(); err == nil {
		commit = strings.TrimSpace(string(out))
	}
	return &Report{
		Time: time.Now().UTC(), Commit: commit, Title: title, Columns: columns, Options: extent.String(), Machine: measureMachine(dir), Servers: map[string]Server{},
	}
}

// AddServer notes what a column runs.
func (r *Report) AddServer(column string, s *peer.Server) {
	r.Servers[column] = Server{Version: s.Version, StartSeconds: s.Started.Seconds()}
}

// Add notes one sample. The first column to come is the one that the others are
// compared with.
func (r *Report) Add(line string, limit Limit, column string, s Sample) {
	i := slices.IndexFunc(r.Lines, func(l Line) bool { return l.Name == line })
	if i < 0 {
		i = len(r.Lines)
		r.Lines = append(r.Lines, Line{Name: line, Limit: limit, Samples: map[string][]Sample{}})
	}
	l := &r.Lines[i]
	if !slices.Contains(l.Columns, column) {
		l.Columns = append(l.Columns, column)
	}
	l.Samples[column] = append(l.Samples[column], s)
}

// Leave notes what was not run, or not to its end.
func (r *Report) Leave(format string, args ...any) {
	r.Left = append(r.Left, fmt.Sprintf(format, args...))
}

// Write stores the report in dir under a name, as JSON, as a page with tables,
// and as plots, and prints the page to w.
func (r *Report) Write(dir, name string, w io.Writer) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	plots := r.plots()
	page := r.page(name, plots)
	files := map[string]string{".json": string(b) + "\n", ".md": page}
	for _, p := range plots {
		files["-"+p.name+".svg"] = p.svg()
	}
	var errs []error
	for suffix, text := range files {
		errs = append(errs, os.WriteFile(filepath.Join(dir, name+suffix), []byte(text), 0o644))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\nwritten to %s\n", page, filepath.Join(dir, name)+".{json,md} and -*.svg")
	return err
}

// median returns that of a figure over the rounds, 0 if there are none.
func (l *Line) median(column string, f func(Sample) float64) float64 {
	s := l.Samples[column]
	if len(s) == 0 {
		return 0
	}
	v := make([]float64, len(s))
	for i := range s {
		v[i] = f(s[i])
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// ratio returns the median of a figure's ratios over the rounds, since the
// machine drifts between them; 0 if there are none.
func (l *Line) ratio(a, b string, f func(Sample) float64) float64 {
	x, y := l.Samples[a], l.Samples[b]
	var v []float64
	for i := range min(len(x), len(y)) {
		if d := f(y[i]); d > 0 {
			v = append(v, f(x[i])/d)
		}
	}
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// share returns which part of the machine's own limit a column reached, 0 if
// the line has none.
func (l *Line) share(m *Machine, column string) float64 {
	speed := l.median(column, Sample.MegabytesPerSecond)
	switch l.Limit {
	case SyncLatency:
		if p50 := l.median(column, p50); p50 > 0 {
			return m.smallSync() / p50
		}
	case DiskWrite:
		return speed / max(1, min(m.write(), m.LoopbackCopyGBs*1e3))
	case Loopback:
		return speed / max(1, m.LoopbackCopyGBs*1e3)
	}
	return 0
}

func resident(s Sample) float64 { return float64(s.Resident) }

func p50(s Sample) float64  { return float64(s.Latency.P50) / 1e3 }
func p99(s Sample) float64  { return float64(s.Latency.P99) / 1e3 }
func p999(s Sample) float64 { return float64(s.Latency.P999) / 1e3 }
