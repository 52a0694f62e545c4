// Package schedule is a shard's memory of what is to happen to records later: a
// record that was published with a delay, or given back under a retry policy,
// waits here for its time.
//
// It is pure: entries come in with the commands that cause them, and Tick hands
// out those that are due, in the order of time, partition and offset. The entries
// lie in buckets of time, packed into a few bytes each; only the bucket that is
// running is unpacked. A bucket's pages are only ever added to, and go as a whole
// when it has run out: how far it has run is one mark, so that a checkpoint costs
// what was added and not what has fired.
//
// Memory does not grow with what is scheduled: once a checkpoint is durable, its
// pages are all that is left of buckets to come, and they are read back when a
// bucket's time has come.
package schedule

import (
	"cmp"
	"container/heap"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/page"
	"github.com/polylog-mq/polylog/internal/record"
)

// Entry says that a record is to be given at At.
type Entry struct {
	At        record.LogTime // at least 1
	Partition record.PartitionID
	Offset    record.Offset
	Level     uint8 // the record's priority
}

// compare orders entries as they fire.
func compare(a, b Entry) int {
	return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
}

// State is the schedule of a shard.
type State struct {
	buckets map[uint64]*bucket
	order   []uint64 // of the buckets, ascending
	count   int64

	// near holds what has not fired of the buckets below loaded.
	near   entryHeap
	loaded uint64
	// fired is the last entry that has fired: everything up to it has.
	fired Entry

	pages *page.Set[pageKey]

	// source reads pages of the durable checkpoint; nil: all stay in memory. err
	// is the first error that it had.
	source Source
	err    error
	// cut counts the cuts. warm are the buckets with chunks in memory.
	cut  uint32
	warm map[uint64]struct{}
}

// Source calls yield with the pages of the durable checkpoint whose keys lie
// between two, in order. The slices are valid only during the call.
type Source func(from, to []byte, yield func(key, value []byte) error) error

// bucket is the entries of bucketSpan ms, in chunks of one page each: the first
// ones, with so many entries, may be in the checkpoint alone.
type bucket struct {
	spilled, spilledCount int
	chunks                []*chunk
}

// chunk is up to chunkEntries entries in the order they came, packed.
type chunk struct {
	packed []byte
	count  int
	last   Entry
	cut    uint32 // the first one that has it as it is
}

// New returns an empty schedule. With a source it lets go of what a durable
// checkpoint holds.
func New(source Source) *State {
	s := &State{buckets: map[uint64]*bucket{}, warm: map[uint64]struct{}{}, source: source}
	s.pages = page.New(s.encodePage)
	return s
}

// Len returns how many entries have not fired.
func (s *State) Len() int64 { return s.count }

func bucketOf(at record.LogTime) uint64 { return uint64(at) / bucketSpan }

// Add schedules an entry, whose time must lie after that of the last Tick.
func (s *State) Add(e Entry) {
	k := bucketOf(e.At)
	b := s.buckets[k]
	if b == nil {
		b = &bucket{}
		s.buckets[k] = b
		i, _ := slices.BinarySearch(s.order, k)
		s.order = slices.Insert(s.order, i, k)
	}
	n := len(b.chunks) - 1
	if n < 0 || b.chunks[n].count == chunkEntries {
		n++
		s.touch(k, b, n)
		b.chunks = append(b.chunks, &chunk{})
		s.warm[k] = struct{}{}
	} else {
		s.touch(k, b, n)
	}
	b.chunks[n].add(e)
	b.chunks[n].cut = s.cut + 1
	s.count++
	if k < s.loaded {
		heap.Push(&s.near, e)
	}
}

// touch must be called before a change to the nth chunk in memory.
func (s *State) touch(k uint64, b *bucket, n int) { s.pages.Touch(pageKey{k, uint32(b.spilled + n)}) }

// add appends an entry as its distance from the one before.
func (c *chunk) add(e Entry) {
	c.packed = codec.AppendVarint(c.packed, e.At-c.last.At)
	c.packed = codec.AppendVarint(c.packed, int64(e.Partition-c.last.Partition)) //nolint:gosec // wraps, and back again
	c.packed = codec.AppendVarint(c.packed, e.Offset-c.last.Offset)
	c.packed = append(c.packed, e.Level)
	c.last = e
	c.count++
}

// each unpacks a chunk; its error wraps codec.ErrMalformed.
func (c *chunk) each(fn func(Entry)) error {
	r := codec.NewReader(c.packed)
	var e Entry
	for r.Len() > 0 {
		e.At += record.LogTime(r.Varint(math.MinInt64, math.MaxInt64))
		e.Partition += record.PartitionID(r.Varint(math.MinInt64, math.MaxInt64)) //nolint:gosec // wraps
		e.Offset += record.Offset(r.Varint(math.MinInt64, math.MaxInt64))
		e.Level = r.Byte()
		if r.Err() == nil {
			fn(e)
		}
	}
	return r.Err()
}

// NextDeadline returns the log time at which Tick has work to do, or may have.
func (s *State) NextDeadline() (record.LogTime, bool) {
	switch {
	case len(s.near) > 0:
		return s.near[0].At, true
	case len(s.order) == 0:
		return 0, false
	case s.order[0] < s.loaded: // it has run out, and is to be dropped
		return s.fired.At, true
	}
	return record.LogTime(s.order[0] * bucketSpan), true
}

// Tick appends to due what is due, at most so many entries; NextDeadline stays in
// the past while there are more.
func (s *State) Tick(now record.LogTime, due []Entry) []Entry {
	for range firePerTick {
		if len(s.near) == 0 && !s.load(now) || s.near[0].At > now {
			break
		}
		s.pages.Touch(rootPage)
		s.fired = heap.Pop(&s.near).(Entry)
		s.count--
		due = append(due, s.fired)
	}
	s.sweep()
	return due
}

// load unpacks the next bucket, if its time has come, and reports whether there
// is anything in near now.
func (s *State) load(now record.LogTime) bool {
	s.sweep()
	for len(s.near) == 0 && len(s.order) > 0 && record.LogTime(s.order[0]*bucketSpan) <= now {
		s.unpack(s.order[0])
		s.sweep()
	}
	return len(s.near) > 0
}

func (s *State) unpack(k uint64) {
	s.loaded = k + 1
	s.fetch(k)
	for _, c := range s.buckets[k].chunks {
		_ = c.each(func(e Entry) { // it was packed here, or checked when it was restored
			if compare(e, s.fired) > 0 {
				s.near = append(s.near, e)
			}
		})
	}
	heap.Init(&s.near)
}

// sweep drops the bucket that has run out.
func (s *State) sweep() {
	for len(s.near) == 0 && len(s.order) > 0 && s.order[0] < s.loaded {
		s.drop(s.order[0])
	}
}

func (s *State) drop(k uint64) {
	b := s.buckets[k]
	for n := range b.spilled + len(b.chunks) {
		s.pages.Touch(pageKey{k, uint32(n)})
	}
	delete(s.buckets, k)
	delete(s.warm, k)
	i, _ := slices.BinarySearch(s.order, k)
	s.order = slices.Delete(s.order, i, i+1)
}

// Remove takes an entry out before its time, and reports whether it was there.
func (s *State) Remove(e Entry) bool {
	k := bucketOf(e.At)
	b := s.buckets[k]
	if b == nil || compare(e, s.fired) <= 0 {
		return false
	}
	s.fetch(k)
	for n, c := range b.chunks {
		rest := &chunk{}
		_ = c.each(func(x Entry) {
			if compare(x, e) != 0 {
				rest.add(x)
			}
		})
		if rest.count == c.count {
			continue
		}
		s.touch(k, b, n)
		rest.cut = s.cut + 1
		*c = *rest
		s.count--
		if i := slices.IndexFunc(s.near, func(x Entry) bool { return compare(x, e) == 0 }); i >= 0 {
			heap.Remove(&s.near, i)
		}
		return true
	}
	return false
}

// List yields the entries of a partition that have not fired, bucket by bucket:
// about in the order of time. It unpacks what it passes, and its error is the
// source's.
func (s *State) List(p record.PartitionID, yield func(Entry) bool) error {
	for _, k := range s.order {
		var found []Entry
		chunks, err := s.read(k)
		if err != nil {
			return err
		}
		for _, c := range append(chunks, s.buckets[k].chunks...) {
			_ = c.each(func(e Entry) { // it was packed here, or checked when it was read
				if e.Partition == p && compare(e, s.fired) > 0 {
					found = append(found, e)
				}
			})
		}
		slices.SortFunc(found, compare)
		for _, e := range found {
			if !yield(e) {
				return nil
			}
		}
	}
	return nil
}

// entryHeap has the entry that fires next on top.
type entryHeap []Entry

func (h entryHeap) Len() int           { return len(h) }
func (h entryHeap) Less(i, j int) bool { return compare(h[i], h[j]) < 0 }
func (h entryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *entryHeap) Push(x any) { *h = append(*h, x.(Entry)) }

// Pop implements heap.Interface.
func (h *entryHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}
