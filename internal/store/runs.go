package store

import (
	"fmt"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store/segment"
)

// AddRuns makes the records of an applied entry readable. Calls of one group
// are in the order of the log; within a partition offsets only grow. Runs over
// the same body come one after the other. Runs whose offsets are there already
// are ignored: replay adds them again. runs is not kept.
func (s *Store) AddRuns(g record.ShardID, i record.Index, runs []Run) {
	if len(runs) == 0 {
		return
	}
	s.since.runs.Add(int64(len(runs)))
	l := s.Log(g)
	e := l.entry(i)
	if e == nil || e.at.File == 0 {
		panic(fmt.Sprintf("store: runs for entry %d of group %d, which is not in the durable log", i, g))
	}
	if l.runFile == nil || l.runFile.num != uint64(e.at.File) {
		l.runFile = s.files.wal(e.at.File)
	}
	for n := range runs {
		r := memRun{Run: runs[n], e: e}
		if uint64(r.Pos)+uint64(r.Len) > uint64(e.size) || r.Len == 0 {
			panic(fmt.Sprintf("store: run %d-%d of partition %d lies outside of its entry", r.Base, r.Last, r.Partition))
		}
		if shared(runs, n) {
			r.Flags |= segment.Shared
		}
		r.Pos += uint32(e.at.Offset)
		s.partitions.make(r.Partition).add(l.runFile, &r)
	}
}

// shared reports whether the run beside runs[n] points to the same body.
func shared(runs []Run, n int) bool {
	near := runs[max(n-1, 0):min(n+2, len(runs))]
	same := 0
	for i := range near {
		if near[i].Pos == runs[n].Pos {
			same++
		}
	}
	return same > 1
}

// SetFloor says, from apply of entry i of group g, that records of a
// partition's level below o are no longer wanted. Floors only rise. They are
// part of the next checkpoint that covers i.
func (s *Store) SetFloor(g record.ShardID, i record.Index, p record.PartitionID, level uint8, o record.Offset) {
	part := s.partitions.make(p)
	part.mu.Lock()
	f := &part.floor
	if level != AllLevels {
		f = &part.makeChain(level).floor
	}
	part.group = g
	raised := f.raise(i, o) && !part.unsaved && !part.drop.dropped
	part.unsaved = part.unsaved || raised
	// Floors also hold where no record was ever seen.
	part.next = max(part.next, part.floor.now)
	s.since.dead.Add(part.passed())
	part.mu.Unlock()
	if raised {
		s.partitions.toSave(part)
	}
}

// DropPartition says, from apply of entry i of group g, that nothing of a
// partition is wanted any more. Its id is never used again.
func (s *Store) DropPartition(g record.ShardID, i record.Index, p record.PartitionID) {
	part := s.partitions.make(p)
	part.mu.Lock()
	save := false
	if !part.drop.dropped {
		part.drop = drop{dropped: true, at: i}
		part.group = g
		save = !part.unsaved
		part.unsaved = true
		s.since.dead.Add(part.passed())
	}
	part.mu.Unlock()
	s.partitions.compact(part, false)
	s.partitions.settle(part, false)
	if save {
		s.partitions.toSave(part)
	}
}

// Bounds returns the offset of the first record that can be read and the one
// after the last. Errors: ErrNoPartition.
func (s *Store) Bounds(p record.PartitionID) (first, next record.Offset, err error) {
	part := s.partitions.get(p)
	if part == nil {
		return 0, 0, ErrNoPartition
	}
	part.mu.RLock()
	defer part.mu.RUnlock()
	if part.drop.dropped {
		return 0, 0, ErrNoPartition
	}
	return part.start(), part.next, nil
}
