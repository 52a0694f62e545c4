package store

import (
	"fmt"
	"sync"

	"github.com/polylog-mq/polylog/internal/store/wal"
)

// appending is a call of Append on its way through the lane.
type appending struct {
	s       *Store
	batch   wal.Batch
	entries []*entry // one per entry frame, in the order of the frames
	done    func(error)
}

var appendings = sync.Pool{New: func() any { return new(appending) }}

// Append queues additions to the logs of groups and never blocks. They are in
// the logs on return; done is called from Flush once they are durable (see
// Append.Sync; one that asks is enough for all), in the order of Append. An
// error is final: the store is dead.
//
// Appends of one group must not be concurrent.
func (s *Store) Append(batch []Append, done func(error)) {
	a := appendings.Get().(*appending)
	a.s, a.done = s, done
	if a.batch.Done == nil {
		a.batch.Done = a.finish // once, since it allocates
	}
	// What Raft has accepted cannot be refused any more, and a later frame of
	// the group must not overtake it: so all of it may use the reserve, and
	// Health turns records away earlier.
	a.batch.Reserve = true
	a.batch.Sync = false
	for i := range batch {
		a.add(&batch[i])
	}
	s.stats.Appends.Add(1)
	s.lane.Append(&a.batch)
}

func (a *appending) add(in *Append) {
	l := a.s.Log(in.Group)
	a.batch.Sync = a.batch.Sync || in.Sync
	first := len(a.entries)
	var bytes int64
	// The entries, and the slice headers that they point to, in one piece.
	made := make([]struct {
		entry entry
		data  []byte
	}, len(in.Entries))
	for i := range in.Entries {
		e, m := &in.Entries[i], &made[i]
		m.data = e.Data
		m.entry.term, m.entry.kind, m.entry.size = e.Term, e.Kind, uint32(len(e.Data))
		m.entry.data.Store(&m.data)
		a.entries = append(a.entries, &m.entry)
		a.batch.Frames = append(a.batch.Frames, wal.Frame{
			Kind: wal.KindEntry, EntryKind: e.Kind, Group: in.Group, Index: e.Index, Term: e.Term, Body: e.Data,
		})
		bytes += wal.FrameSize(len(e.Data))
	}
	l.mu.Lock()
	if len(in.Entries) > 0 {
		l.push(in.Entries[0].Index, a.entries[first:])
	}
	if in.HardState != nil {
		l.hard = *in.HardState
		// Behind the entries: the commit index may count on them.
		a.batch.Frames = append(a.batch.Frames, wal.Frame{
			Kind: wal.KindHardState, Group: in.Group, Index: l.compacted + 1,
			Body: in.HardState.appendTo(make([]byte, 0, hardStateSize)),
		})
		bytes += wal.FrameSize(hardStateSize)
	}
	l.mu.Unlock()
	a.s.since.entries.Add(int64(len(in.Entries)))
	a.s.since.bytes.Add(bytes)
	a.s.stats.Appended.Add(uint64(bytes))
}

// finish is the lane's Done.
func (a *appending) finish(pos []wal.Position, err error) {
	s, done := a.s, a.done
	if err == nil {
		n := 0
		for i := range a.batch.Frames {
			if a.batch.Frames[i].Kind == wal.KindEntry {
				a.entries[n].landed(pos[i], a.batch.Frames[i].Chunk)
				n++
			}
		}
	} else {
		err = s.die(fmt.Errorf("writing the log: %w", err))
	}
	clear(a.entries)
	clear(a.batch.Frames)
	a.entries, a.batch.Frames = a.entries[:0], a.batch.Frames[:0]
	a.s, a.done = nil, nil
	appendings.Put(a)
	if done != nil {
		done(err)
	}
}

// Flush writes what is queued and syncs it, calls what waits for that, and
// reports whether there was anything.
func (s *Store) Flush() bool { return s.lane.Flush() }

// Pending reports whether Flush has something to write.
func (s *Store) Pending() bool { return s.lane.Pending() }

// Ready receives a value when there is something to flush.
func (s *Store) Ready() <-chan struct{} { return s.lane.Ready() }
