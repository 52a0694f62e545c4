package store

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store/checkpoint"
	"github.com/polylog-mq/polylog/internal/store/segment"
	"github.com/polylog-mq/polylog/internal/store/wal"
)

// recover brings the store to the state in which it was left: what the
// checkpoint says, then the WAL above it. It reads the tops of the run indexes
// but no record, whatever is retained. It changes nothing, above all removes
// nothing, before it knows that nothing is missing.
func (s *Store) recover() error {
	err := s.makeRoomToOpen()
	if err != nil {
		return err
	}
	have, err := wal.Files(s.o.FS, s.walDir())
	if err != nil {
		return err
	}
	if err := s.openCheckpoint(len(have) > 0); err != nil {
		return err
	}
	st, err := s.db.Load()
	if err != nil {
		return s.explain(err)
	}
	s.restore(st)
	if err := s.loadFiles(st); err != nil {
		return err
	}
	if err := s.checkFiles(st, have); err != nil {
		return err
	}
	if s.lane, err = wal.Open(wal.Options{
		FS: s.o.FS, Dir: s.walDir(), FileSize: s.o.WALFileSize, From: wal.FileNum(st.WALFrom),
		End:    wal.Position{File: wal.FileNum(st.End.File), Offset: st.End.Offset},
		Accept: func() error { s.plantLoss(); return s.checkLogs(st) },
		Keep:   s.o.TailBytes, Memory: s.o.Memory, Salt: s.o.Salt, Logger: s.o.Logger,
	}, s.visit); err != nil {
		return err
	}
	if err := s.removeOrphans(st); err != nil {
		return err
	}
	return s.freeFiles(st)
}

// openCheckpoint opens the database. It is made only where nothing else is.
func (s *Store) openCheckpoint(used bool) (err error) {
	segments, err := s.o.FS.List(s.segmentDir())
	if err != nil {
		return fmt.Errorf("listing segments: %w", err)
	}
	s.db, err = checkpoint.Open(s.o.FS, s.stateDir(), s.o.Logger, !used && len(segments) == 0)
	return s.explain(err)
}

// plantLoss is where the planted bugs are that lose entries at a restart.
func (s *Store) plantLoss() {
	for _, l := range s.groups {
		switch n := len(l.entries); {
		case fault.On(fault.DropTail) && n > 0:
			l.entries = l.entries[:n-1]
		case fault.On(fault.LoseLog):
			l.entries = l.entries[:max(0, min(int(s.durable[l.group].Applied)-int(l.compacted), n))]
		default:
			continue
		}
		l.hard.Commit = min(l.hard.Commit, l.last())
	}
}

// restore takes over what the checkpoint says of groups and partitions.
func (s *Store) restore(st *checkpoint.State) {
	if st.Meta != nil {
		m := Meta(*st.Meta)
		s.meta.Store(&m)
	}
	s.nextSegment.Store(max(st.NextSegment, 1))
	for _, g := range st.Groups {
		s.durable[g.ID] = g
		l := s.Log(g.ID)
		l.compacted, l.compactedTerm = g.Compacted, g.CompactedTerm
		l.reset = wal.Position{File: wal.FileNum(g.ResetFile), Offset: g.ResetOffset}
	}
	for _, rec := range st.Partitions {
		p := s.partitions.make(rec.ID)
		if rec.Dropped {
			p.drop = drop{dropped: true, durable: true}
		}
		p.compaction.cleaned = rec.Cleaned
		for _, f := range rec.Floors {
			at := &p.floor
			if f.Level != AllLevels {
				at = &p.makeChain(f.Level).floor
			}
			*at = floor{now: f.Offset, durable: f.Offset}
			p.next = max(p.next, f.Offset)
		}
	}
}

// removeOrphans deletes segment files that the checkpoint does not have: the
// results of work that a crash has interrupted.
func (s *Store) removeOrphans(st *checkpoint.State) error {
	known := map[string]bool{}
	for i := range st.Files {
		f := &st.Files[i]
		known[s.indexPath(f.FileID, f.Gen)] = true
		if f.Level > 0 {
			known[s.dataPath(f.Num)] = true
		}
	}
	names, err := s.o.FS.List(s.segmentDir())
	if err != nil {
		return fmt.Errorf("listing segments: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		if path := s.o.FS.PathJoin(s.segmentDir(), name); !known[path] {
			if err := s.o.FS.Remove(path); err != nil {
				return fmt.Errorf("removing what a crash has left: %w", err)
			}
		}
	}
	return nil
}

// loadFiles reads the tops of all run indexes.
func (s *Store) loadFiles(st *checkpoint.State) error {
	seen := map[record.PartitionID]bool{}
	for i := range st.Files {
		info := &st.Files[i]
		f := &file{level: info.Level, num: info.Num, info: *info}
		if f.level > 0 {
			f.path = s.dataPath(f.num)
			if err := s.checkData(f); err != nil {
				return err
			}
		}
		path := s.indexPath(info.FileID, info.Gen)
		x, spans, err := s.reader.Open(path, info.Digest)
		if errors.Is(err, segment.ErrGone) {
			return s.damage(path, 0, "the checkpoint counts on it, but it is missing")
		}
		if err != nil {
			return s.explain(err)
		}
		if x.Num != f.num || x.Level != f.level {
			return s.damage(x.Path, 0, fmt.Sprintf("it is the run index of level %d file %d", x.Level, x.Num))
		}
		f.index = x
		if info.Final {
			f.final.Store(x)
		}
		f.runs.Store(int64(x.Runs))
		s.files.add(f)
		for k := range spans {
			seen[spans[k].Partition] = true
			if err := s.loadSpan(f, &spans[k]); err != nil {
				return err
			}
		}
	}
	for _, p := range s.partitions.byID {
		if err := p.arrange(); err != nil {
			return err
		}
	}
	for i := range st.Partitions {
		if p := &st.Partitions[i]; p.Dropped && !seen[p.ID] {
			s.pending.forgotten = append(s.pending.forgotten, p.ID)
		}
	}
	return nil
}

// checkData checks that a level 1 data file is there with its length.
func (s *Store) checkData(f *file) error {
	st, err := s.o.FS.Stat(f.path)
	if err != nil {
		return s.damage(f.path, 0, "the checkpoint counts on it, but: "+err.Error())
	}
	if st.Size() != f.info.DataLen {
		return s.damage(f.path, st.Size(), fmt.Sprintf("its length is %d bytes, not %d", st.Size(), f.info.DataLen))
	}
	return nil
}

// loadSpan hangs a span of an index into its partition. The runs of a file
// that will get more are loaded into memory, where those will join them.
func (s *Store) loadSpan(f *file, in *segment.Span) error {
	p := s.partitions.make(in.Partition)
	if p.drop.dropped {
		return nil
	}
	from := f.info.MovedBelow(in.Partition, in.Level, in.First)
	if in.Last < from {
		return nil
	}
	out := newSpan(f, in)
	if f.info.Final {
		f.spans.Add(1)
	} else {
		if err := s.loadRuns(&out, in, from); err != nil {
			return err
		}
		f.attach(chainKey{p, in.Level})
	}
	f.live.Add(int64(out.bytes))
	c := p.makeChain(in.Level)
	c.spans = append(c.spans, out)
	return nil
}

// loadRuns loads the runs of a span from an offset on.
func (s *Store) loadRuns(out *span, in *segment.Span, from record.Offset) error {
	out.mem, out.bytes, out.maxTime = new(runList), 0, math.MinInt64
	cur, err := s.reader.Seek(out.file.index, in, from)
	if err != nil {
		return s.explain(err)
	}
	for {
		r, err := cur.Next()
		if err != nil {
			return s.explain(err)
		}
		if r == nil {
			return nil
		}
		if len(out.mem.pieces) == 0 {
			out.first = r.Base
		}
		out.bytes, out.maxTime = out.bytes+r.Len, max(out.maxTime, r.MaxTimestamp)
		out.mem.add(&memRun{Run: *r})
	}
}

func newSpan(f *file, in *segment.Span) span {
	return span{file: f, first: in.First, last: in.Last, maxTime: in.MaxTimestamp, bytes: uint32(in.Bytes), records: uint32(in.Records), block: in.Block}
}

// arrange sorts the spans of a loaded partition and drops those that its
// floors have passed: they are listed as long as their file is, also when a
// compaction that began before has put others in their place.
func (p *partition) arrange() error {
	for _, c := range p.chains {
		low := max(p.floor.durable, c.floor.durable)
		c.spans = slices.DeleteFunc(c.spans, func(s span) bool {
			if s.last < low {
				s.release()
			}
			return s.last < low
		})
		slices.SortFunc(c.spans, compareSpans)
		for i := range c.spans {
			if i > 0 && c.spans[i].first <= c.spans[i-1].last {
				return fmt.Errorf("%w: two run indexes list offset %d of partition %d; %s", ErrDamaged, c.spans[i].first, p.id, damageHint)
			}
		}
		if n := len(c.spans); n > 0 {
			p.next = max(p.next, c.spans[n-1].last+1)
		}
	}
	p.prune(p.drop.durable)
	return nil
}

// visit takes a frame of the WAL that recovery reads.
func (s *Store) visit(pos wal.Position, fr wal.Frame) error {
	l := s.Log(fr.Group)
	if fr.Kind == wal.KindHardState {
		hs, ok := parseHardState(fr.Body)
		if !ok {
			return s.damage(wal.FilePath(s.o.FS, s.walDir(), pos.File), pos.Offset, "it holds a hard state of an unknown form")
		}
		l.hard = hs
		return nil
	}
	if pos.File < l.reset.File || pos.File == l.reset.File && pos.Offset < l.reset.Offset {
		return nil
	}
	s.since.bytes.Add(wal.FrameSize(len(fr.Body)))
	s.since.entries.Add(1)
	if fr.Index <= l.compacted {
		l.entries = l.entries[:0] // it discarded what followed it at the time
		return nil
	}
	if fr.Index > l.last()+1 {
		return s.damage(wal.FilePath(s.o.FS, s.walDir(), pos.File), pos.Offset,
			fmt.Sprintf("entry %d of group %d follows entry %d", fr.Index, fr.Group, l.last()))
	}
	l.push(fr.Index, []*entry{{term: fr.Term, kind: fr.EntryKind, size: uint32(len(fr.Body)), at: pos}})
	return nil
}

// checkLogs checks that no log ends below its checkpoint, and raises the hard
// states to what the rest proves.
func (s *Store) checkLogs(st *checkpoint.State) error {
	for i := range st.Groups {
		g := &st.Groups[i]
		if last := s.Log(g.ID).last(); last < g.Applied {
			return s.damage(s.walDir(), 0, fmt.Sprintf("the log of group %d ends at entry %d, but its checkpoint is at %d", g.ID, last, g.Applied))
		}
	}
	for g, l := range s.groups {
		l.hard.Commit = max(l.hard.Commit, s.durable[g].Applied)
		if l.hard.Commit > l.last() {
			return s.damage(s.walDir(), 0, fmt.Sprintf("the log of group %d ends at entry %d, but entry %d was committed", g, l.last(), l.hard.Commit))
		}
		t, _ := l.term(l.last())
		if t = max(t, s.durable[g].Term); t > l.hard.Term {
			l.hard.Term, l.hard.Vote = t, 0
		}
	}
	return nil
}

// checkFiles checks that every WAL file that the checkpoint counts on is there.
// Those that recovery reads, the lane looks after.
func (s *Store) checkFiles(st *checkpoint.State, have []wal.FileNum) error {
	for i := range st.Files {
		n := wal.FileNum(st.Files[i].Num)
		if _, ok := slices.BinarySearch(have, n); st.Files[i].Level == 0 && !ok {
			return s.damage(wal.FilePath(s.o.FS, s.walDir(), n), 0, "the checkpoint counts on it, but it is missing")
		}
	}
	return nil
}

// freeFiles gives back the WAL files that nothing wants: a crash came between
// the checkpoint and their freeing.
func (s *Store) freeFiles(st *checkpoint.State) error {
	var free []wal.FileNum
	for _, f := range s.lane.Sealed() {
		if uint64(f.Num) < st.WALFrom && s.files.get(checkpoint.FileID{Num: uint64(f.Num)}) == nil {
			free = append(free, f.Num)
		}
	}
	if err := s.lane.Free(free...); err != nil {
		return errors.Join(errors.New("giving back wal files"), err)
	}
	return nil
}
