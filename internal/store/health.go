package store

import (
	"cmp"
	"math"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// disk is what the last look at the file system has shown.
type disk struct {
	mu          sync.Mutex
	free, total uint64
	known       bool
	state       HealthState
}

// LookAtDisk asks the file system how full it is. Run calls it from time to
// time; a simulator calls it itself.
func (s *Store) LookAtDisk() {
	u, err := s.o.FS.GetDiskUsage(s.o.Dir)
	d := &s.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known = err == nil && u.TotalBytes > 0
	if !d.known {
		d.free, d.total, d.state = 0, 0, Healthy
		return
	}
	d.free, d.total = u.AvailBytes, u.TotalBytes
	before := d.state
	if d.state = s.o.judge(u, before); d.state != before {
		s.report(d.state, u)
	}
}

// report tells the operator that the disk has become fuller or emptier.
func (s *Store) report(now HealthState, u vfs.DiskUsage) {
	log := s.o.Logger.With("free-bytes", u.AvailBytes, "total-bytes", u.TotalBytes)
	switch now {
	case DiskFull:
		log.Error("the disk is full: records are refused until there is room again; reads, commits and deletes go on")
	case DiskWarn:
		log.Warn("the disk is filling up")
	default:
		log.Info("the disk has room again")
	}
}

// judge says how full the disk is. To leave a state takes a little more room
// than it took to enter it, so that the answer does not flutter.
func (o *Options) judge(u vfs.DiskUsage, before HealthState) HealthState {
	full := cmp.Or(o.FullBelow, min(u.TotalBytes/fullShare, fullBytes))
	warn := max(full, cmp.Or(o.WarnBelow, min(u.TotalBytes/warnShare, warnBytes)))
	if before == DiskFull {
		full += full / 4
	}
	if before >= DiskWarn {
		warn += warn / 8
	}
	switch {
	case u.AvailBytes < full:
		return DiskFull
	case u.AvailBytes < warn:
		return DiskWarn
	}
	return Healthy
}

// Health tells what the store can do. It is cheap.
func (s *Store) Health() Health {
	if err := s.Err(); err != nil {
		return Health{State: Dead, Err: err}
	}
	h := Health{State: s.room(), Debt: math.Float64frombits(s.debt.Load())}
	s.disk.mu.Lock()
	h.Free, h.Total = s.disk.free, s.disk.total
	s.disk.mu.Unlock()
	return h
}

// room tells how full the disk is, by the last look at it and by what the WAL
// has met.
func (s *Store) room() HealthState {
	if sp := s.lane.Space(); sp.Full && sp.Pool == 0 {
		return DiskFull // what is left serves what was accepted already
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	return s.disk.state
}

// weigh works out the debt anew, after files have come, gone or changed hands.
func (s *Store) weigh() {
	_, cs := s.candidates()
	s.debt.Store(math.Float64bits(s.o.Rewriting.debt(cs)))
}
