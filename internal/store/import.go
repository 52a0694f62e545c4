package store

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store/segment"
	"github.com/polylog-mq/polylog/internal/store/wal"
)

// ErrConflict reports that the partition has got records since the import
// looked: it must begin anew.
var ErrConflict = errors.New("the import overlaps with records that came meanwhile")

// Import installs a snapshot of a group: first the data that this node lacks,
// then the state that counts on it. It is not safe for concurrent use.
type Import struct {
	s     *Store
	group record.ShardID
	out   *output
	runs  []Run // of out
	done  []*finished
	next  map[record.PartitionID]record.Offset
	ended bool
}

// NewImport begins the installation of a snapshot of group g.
func (s *Store) NewImport(g record.ShardID) *Import {
	return &Import{s: s, group: g, next: map[record.PartitionID]record.Offset{}}
}

// Add writes the records of one run, whose bytes are data[run.Pos:][:run.Len]:
// whole batches, of which every one is verified. The runs of a partition must
// come in the order of their offsets; those that are here already are ignored.
// The bytes are copied.
func (im *Import) Add(run Run, data []byte) error {
	if im.ended {
		return ErrClosed
	}
	if uint64(run.Pos)+uint64(run.Len) > uint64(len(data)) || run.Len == 0 {
		return fmt.Errorf("importing run %d-%d of partition %d: %w: it has no bytes", run.Base, run.Last, run.Partition, record.ErrTruncated)
	}
	body := data[run.Pos:][:run.Len]
	if err := verifyRun(&run, body); err != nil {
		return fmt.Errorf("importing run %d-%d of partition %d: %w", run.Base, run.Last, run.Partition, err)
	}
	next, ok := im.next[run.Partition]
	if !ok {
		_, next, _ = im.s.Bounds(run.Partition)
	}
	if run.Last < next {
		return nil
	}
	if run.Base < next {
		return fmt.Errorf("importing run %d-%d of partition %d where %d is next: %w", run.Base, run.Last, run.Partition, next, ErrConflict)
	}
	im.next[run.Partition] = run.Last + 1
	if im.out != nil && (len(im.runs) >= importRuns || im.out.data.Size()+int64(len(body)) > importBytes) {
		if err := im.finishFile(); err != nil {
			return err
		}
	}
	if im.out == nil {
		var err error
		if im.out, err = im.s.newOutput(); err != nil {
			return err
		}
	}
	run.Pos = im.out.data.Append(body)
	run.Flags &^= segment.Shared
	im.runs = append(im.runs, run)
	return nil
}

// verifyRun checks that body is whole intact batches that make up the run.
func verifyRun(run *Run, body []byte) error {
	base := run.Base
	for len(body) > 0 {
		n, last, err := batchAt(body, base)
		if err != nil {
			return err
		}
		if n > len(body) {
			return record.ErrTruncated
		}
		if _, err := record.Validate(body[:n], record.Checks{}); err != nil {
			return err
		}
		base, body = last+1, body[n:]
	}
	if base != run.Last+1 {
		return fmt.Errorf("%w: its batches end at offset %d", record.ErrCorrupt, base-1)
	}
	return nil
}

func (im *Import) finishFile() error {
	slices.SortFunc(im.runs, func(a, b Run) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Level, b.Level), cmp.Compare(a.Base, b.Base))
	})
	for i := range im.runs {
		im.out.index.Add(&im.runs[i])
	}
	done, err := im.out.finish()
	im.out, im.runs = nil, im.runs[:0]
	if err != nil {
		return err
	}
	im.done = append(im.done, done)
	return nil
}

// Commit makes the data and the cut durable, all at once: the group's pages
// are replaced, and its log begins anew behind cut.Applied. Until it returns,
// the group must not append, read its log or step. It flushes by itself. After
// ErrConflict, or another error that does not wrap ErrDead, the import must be
// aborted and begun anew.
func (im *Import) Commit(cut GroupCut) error {
	s := im.s
	if im.ended {
		return ErrClosed
	}
	if cut.Group != im.group {
		return fmt.Errorf("store: a cut of group %d for an import of group %d", cut.Group, im.group)
	}
	if im.out != nil {
		if err := im.finishFile(); err != nil {
			return err
		}
	}
	if err := syncDir(s.o.FS, s.segmentDir()); err != nil {
		return err
	}
	s.cutting.Lock()
	defer s.cutting.Unlock()
	for _, d := range im.done {
		for i := range d.spans {
			if !s.partitions.make(d.spans[i].Partition).hasRoomFor(d.spans[i].First) {
				return ErrConflict
			}
		}
	}
	if err := im.commit(&cut); err != nil {
		for _, d := range im.done {
			delete(s.pending.files, d.file.id())
		}
		return err
	}
	s.install(im.done, nil, nil)
	im.ended = true
	return nil
}

func (im *Import) commit(cut *GroupCut) error {
	s := im.s
	reset, err := s.markReset(cut.Group)
	if err != nil {
		return err
	}
	for _, d := range im.done {
		s.pending.files[d.file.id()] = d.file.info
	}
	c, err := s.newCut([]GroupCut{*cut}, &reset)
	if err != nil {
		return err
	}
	return s.commit(c)
}

// markReset writes a group's hard state once more, and returns where: there
// its log begins anew. Until the checkpoint says so this means nothing.
func (s *Store) markReset(g record.ShardID) (at wal.Position, err error) {
	l := s.Log(g)
	hs := l.HardState()
	var finished atomic.Bool
	s.lane.Append(&wal.Batch{
		Frames: []wal.Frame{{
			Kind: wal.KindHardState, Group: g, Index: l.FirstIndex(),
			Body: hs.appendTo(make([]byte, 0, hardStateSize)),
		}},
		Sync: true, Reserve: true,
		Done: func(pos []wal.Position, werr error) {
			if err = werr; err == nil {
				at = pos[0]
			}
			finished.Store(true)
		},
	})
	// Whoever flushes it: Flush has nothing to do only when the batch is done,
	// since flushes exclude each other.
	for !finished.Load() {
		s.lane.Flush()
	}
	if err != nil {
		return at, s.die(fmt.Errorf("writing the log: %w", err))
	}
	return at, nil
}

// Abort removes what was added. It does nothing after Commit.
func (im *Import) Abort() {
	if im.ended {
		return
	}
	im.ended = true
	if im.out != nil {
		im.out.abort()
	}
	for _, d := range im.done {
		d.discard(im.s)
	}
}
