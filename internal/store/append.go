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
	spliced []*Entry // those of the caller's that have splices, in that order
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
	// Entries stay for as long as the log has them, what they point to until it is
	// written: in one piece the former would keep the latter in memory.
	made, unwrittens := make([]entry, len(in.Entries)), make([]unwritten, len(in.Entries))
	for i := range in.Entries {
		e, m := &in.Entries[i], &made[i]
		m.term, m.kind, m.size = e.Term, e.Kind, uint32(e.Size())
		unwrittens[i] = unwritten{e.Data, e.Splices}
		m.data.Store(&unwrittens[i])
		if len(e.Splices) > 0 {
			a.spliced = append(a.spliced, e)
		}
		a.entries = append(a.entries, m)
		a.batch.Frames = append(a.batch.Frames, wal.Frame{
			Kind: wal.KindEntry, EntryKind: e.Kind, Group: in.Group, Index: e.Index, Term: e.Term, Body: e.Data, Splices: e.Splices,
		})
		bytes += wal.FrameSize(e.Size())
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

// joined makes an entry's data the whole that a frame has become. It is called
// while the lane calls Done, when it still keeps all that it has just written.
func (e *Entry) joined(at wal.Position, f *wal.Frame) {
	if !f.Chunk.Hold() {
		panic("store: the log lets go of an entry before it has told of it")
	}
	e.Data, e.Splices, e.Chunk = f.Chunk.Bytes(at.Offset, e.Size()), nil, f.Chunk
}

// finish is the lane's Done.
func (a *appending) finish(pos []wal.Position, err error) {
	s, done := a.s, a.done
	if err == nil {
		n, spliced := 0, a.spliced
		for i := range a.batch.Frames {
			f := &a.batch.Frames[i]
			if f.Kind != wal.KindEntry {
				continue
			}
			a.entries[n].landed(pos[i], f.Chunk)
			if len(f.Splices) > 0 {
				spliced[0].joined(pos[i], f)
				spliced = spliced[1:]
			}
			n++
		}
	} else {
		err = s.die(fmt.Errorf("writing the log: %w", err))
	}
	clear(a.entries)
	clear(a.spliced)
	clear(a.batch.Frames)
	a.entries, a.spliced, a.batch.Frames = a.entries[:0], a.spliced[:0], a.batch.Frames[:0]
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
