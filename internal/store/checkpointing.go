package store

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store/checkpoint"
	"github.com/polylog-mq/polylog/internal/store/segment"
	"github.com/polylog-mq/polylog/internal/store/wal"
)

// NeedsCheckpoint reports whether the log has grown enough since the last
// checkpoint, or enough can be freed by one: anything at all once the disk is
// full. Compaction asks for one too, since it goes only so far as a checkpoint
// does.
func (s *Store) NeedsCheckpoint() bool {
	if s.since.bytes.Load() >= s.o.CheckpointBytes || s.since.entries.Load() >= checkpointEntries ||
		s.since.runs.Load() >= checkpointRuns || s.since.compact.Load() {
		return true
	}
	dead := s.since.dead.Load()
	return dead >= deadBytes || dead > 0 && s.room() == DiskFull
}

// Checkpoint makes the cuts durable, all or none, compacts the logs and frees
// files. It blocks on the disk and runs beside everything but itself, Import's
// Commit and Bootstrap, for which it waits. An error that does not wrap ErrDead,
// for want of room on the disk above all, leaves everything as it was: the same
// cuts, or later ones that hold their pages too, are to be tried again.
func (s *Store) Checkpoint(cuts []GroupCut) error {
	s.cutting.Lock()
	defer s.cutting.Unlock()
	if err := s.Err(); err != nil {
		return err
	}
	bytes, entries, dead := s.since.bytes.Load(), s.since.entries.Load(), s.since.dead.Load()
	runs := s.since.runs.Load()
	waited := s.since.compact.Swap(false)
	c, err := s.newCut(cuts, nil)
	if vfs.IsNoSpaceError(err) && s.dropBallast() {
		c, err = s.newCut(cuts, nil)
	}
	if err == nil {
		err = s.commit(c)
	}
	if err != nil {
		s.since.compact.Store(waited)
		return err
	}
	s.since.bytes.Add(-bytes)
	s.since.entries.Add(-entries)
	s.since.runs.Add(-runs)
	s.since.dead.Add(-dead)
	return nil
}

// cut is a checkpoint in the making.
type cut struct {
	checkpoint.Cut
	groups  map[record.ShardID]checkpoint.Group // after the cut
	sealed  []wal.FileInfo
	free    []wal.FileNum // WAL files to give back
	removed []*file       // files to forget
}

// pending is what the next checkpoint says beside the cuts. It outlives a
// checkpoint that could not be written.
type pending struct {
	files      map[checkpoint.FileID]checkpoint.File
	partitions map[record.PartitionID]checkpoint.Partition
	forgotten  []record.PartitionID
	stale      []*segment.Index // versions that the checkpoint makes obsolete
	// unnamed says that indexes were written whose names are not durable yet,
	// perhaps by a checkpoint that has failed since.
	unnamed bool
}

func (p *pending) clear() {
	clear(p.files)
	clear(p.partitions)
	p.forgotten, p.stale = nil, nil
}

// newCut works out what a checkpoint says and writes the run indexes that it
// counts on. With reset, the cuts replace the groups' whole state, and frames
// before that position no longer count.
func (s *Store) newCut(cuts []GroupCut, reset *wal.Position) (*cut, error) {
	c := &cut{groups: maps.Clone(s.durable)}
	for i := range cuts {
		gc, err := s.groupCut(&cuts[i], reset)
		if err != nil {
			return nil, err
		}
		c.Groups = append(c.Groups, gc)
		c.groups[gc.ID] = gc.Group
	}
	active := s.lane.Active() // before the look at the sealed ones: none may be missed
	c.sealed = s.lane.Sealed()
	c.WALFrom = uint64(c.walFrom(active))
	c.NextSegment = s.nextSegment.Load()
	c.End = s.reached()
	s.settlePartitions(c)
	if err := s.writeIndexes(c); err != nil {
		return nil, err
	}
	s.gather(c)
	return c, nil
}

func (s *Store) groupCut(in *GroupCut, reset *wal.Position) (checkpoint.GroupCut, error) {
	l := s.Log(in.Group)
	old := s.durable[in.Group]
	out := checkpoint.GroupCut{Replace: reset != nil, Group: checkpoint.Group{
		ID: in.Group, Applied: in.Applied, Term: in.Term, Conf: in.Conf,
		Compacted: max(in.CompactTo, old.Compacted), CompactedTerm: old.CompactedTerm,
		ResetFile: old.ResetFile, ResetOffset: old.ResetOffset,
	}}
	if in.Applied < old.Applied || in.CompactTo > in.Applied {
		return out, fmt.Errorf("store: cut of group %d at %d, compacted to %d, after one at %d", in.Group, in.Applied, in.CompactTo, old.Applied)
	}
	if reset != nil {
		out.Compacted, out.CompactedTerm = in.Applied, in.Term
		out.ResetFile, out.ResetOffset = uint64(reset.File), reset.Offset
	} else if in.CompactTo > old.Compacted {
		t, err := l.Term(in.CompactTo)
		if err != nil {
			return out, fmt.Errorf("store: cut of group %d compacts to %d: %w", in.Group, in.CompactTo, err)
		}
		out.CompactedTerm = t
	}
	for _, p := range in.Pages {
		out.Pages = append(out.Pages, checkpoint.Page(p))
	}
	return out, nil
}

// reached tells how far the log is durable.
func (s *Store) reached() checkpoint.End {
	at := s.lane.End()
	return checkpoint.End{File: uint64(at.File), Offset: at.Offset}
}

// holdsLog reports whether a sealed file has an entry that a Raft log still
// needs after the cut.
func (c *cut) holdsLog(f *wal.FileInfo) bool {
	for _, m := range f.MaxIndex {
		if m.Index > c.groups[m.Group].Compacted {
			return true
		}
	}
	return false
}

// walFrom returns the first file that recovery must read.
func (c *cut) walFrom(active wal.FileNum) wal.FileNum {
	for i := range c.sealed {
		if c.holdsLog(&c.sealed[i]) && !fault.On(fault.CheckpointAhead) {
			return c.sealed[i].Num
		}
	}
	return active
}

// applied reports whether everything in a sealed file is applied or
// superseded.
func (c *cut) applied(f *wal.FileInfo) bool {
	for _, m := range f.MaxIndex {
		if m.Index > c.groups[m.Group].Applied {
			return false
		}
	}
	return true
}

// writeIndexes writes the indexes of all WAL files with runs that no durable
// index has. The newest file comes first: while apply goes on, what a later
// index has of a partition is then never without what precedes it.
func (s *Store) writeIndexes(c *cut) error {
	for _, f := range slices.Backward(s.files.all()) {
		if f.level > 0 || f.isFinal() {
			continue
		}
		i, sealed := slices.BinarySearchFunc(c.sealed, wal.FileNum(f.num), func(w wal.FileInfo, n wal.FileNum) int { return cmp.Compare(w.Num, n) })
		final := sealed && c.applied(&c.sealed[i])
		// Before the look at the runs: what is added meanwhile makes it dirty
		// again.
		dirty := f.dirty.Swap(false)
		if f.spans.Load() == 0 || !dirty && !final {
			continue
		}
		if err := s.writeIndex(f, final); err != nil {
			f.dirty.Store(true)
			return fmt.Errorf("preparing a checkpoint: %w", err)
		}
		s.pending.unnamed = true
	}
	if !s.pending.unnamed {
		return nil
	}
	if err := syncDir(s.o.FS, s.segmentDir()); err != nil {
		return err
	}
	s.pending.unnamed = false
	return nil
}

// writeIndex writes the next version of a file's run index.
func (s *Store) writeIndex(f *file, final bool) error {
	info := f.info
	info.Gen++
	path := s.indexPath(info.FileID, info.Gen)
	w, err := segment.CreateIndex(s.o.FS, path, f.level, f.num)
	if err != nil {
		return err
	}
	for _, k := range f.attached() {
		for _, span := range k.p.runsIn(k.level, f) {
			w.Cut()
			for _, runs := range span {
				for i := range runs {
					w.Add(&runs[i].Run)
				}
			}
		}
	}
	done, err := w.Finish(0, 0)
	if err != nil {
		_ = s.o.FS.Remove(path)
		return err
	}
	s.stats.IndexWritten.Add(uint64(done.Size))
	x, _, err := s.reader.Open(path, done.Digest)
	if err != nil {
		return fmt.Errorf("reading back a run index: %w", err)
	}
	info.Digest, info.Final = done.Digest, final
	f.mu.Lock()
	if f.index != nil {
		s.pending.stale = append(s.pending.stale, f.index)
	}
	f.info, f.index = info, x
	f.mu.Unlock()
	s.pending.files[info.FileID] = info
	if final {
		for i := range done.Spans {
			s.partitions.get(done.Spans[i].Partition).indexed(f, &done.Spans[i])
		}
		f.final.Store(x)
	}
	return nil
}

// runsIn returns the runs of a level that are in memory and lie in a file,
// span by span, each in pieces.
func (p *partition) runsIn(level uint8, f *file) (found [][][]memRun) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	c := p.chain(level)
	for i := range c.spans {
		if s := &c.spans[i]; s.file == f && s.mem != nil {
			found = append(found, s.mem.snapshot())
		}
	}
	return found
}

// indexed notes where the final index of a file lists a span.
func (p *partition) indexed(f *file, s *segment.Span) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.chain(s.Level)
	for i := range c.spans {
		if c.spans[i].file == f && c.spans[i].first == s.First {
			c.spans[i].block, c.spans[i].records = s.Block, uint32(s.Records)
		}
	}
}

// settlePartitions takes over the floors and drops that the cut covers.
func (s *Store) settlePartitions(c *cut) {
	for _, p := range s.partitions.takeUnsaved() {
		rec, more := p.settle(func(g record.ShardID) record.Index { return c.groups[g].Applied })
		if rec.Dropped || len(rec.Floors) > 0 || rec.Cleaned > 0 {
			s.pending.partitions[p.id] = rec
		}
		if more {
			s.partitions.toSave(p)
			if p.compactionWaits() {
				s.since.compact.Store(true)
			}
		}
	}
}

// gather lists what the checkpoint says of files and partitions, and what
// nothing wants any more.
func (s *Store) gather(c *cut) {
	for _, f := range s.files.all() {
		// A WAL file may still serve the Raft log; as a segment it is done with
		// once no more runs can come.
		if f.spans.Load() == 0 && (f.isFinal() || f.num < c.WALFrom) {
			c.removed = append(c.removed, f)
			c.Removed = append(c.Removed, f.id())
		}
	}
	for id, f := range s.pending.files {
		if !slices.Contains(c.Removed, id) {
			c.Files = append(c.Files, f)
		}
	}
	slices.SortFunc(c.Files, func(a, b checkpoint.File) int {
		return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Num, b.Num))
	})
	for _, p := range s.pending.partitions {
		c.Partitions = append(c.Partitions, p)
	}
	slices.SortFunc(c.Partitions, func(a, b checkpoint.Partition) int { return cmp.Compare(a.ID, b.ID) })
	c.Forgotten = s.pending.forgotten
	for i := range c.sealed {
		n := c.sealed[i].Num
		f := s.files.get(checkpoint.FileID{Num: uint64(n)})
		if uint64(n) < c.WALFrom && (f == nil || f.spans.Load() == 0 || fault.On(fault.RecycleEarly)) {
			c.free = append(c.free, n)
		}
	}
}

// commit makes a cut durable and takes its consequences.
func (s *Store) commit(c *cut) error {
	if err := s.makeRoom(&c.Cut); err != nil {
		return err
	}
	n, err := s.db.Commit(&c.Cut)
	if err != nil {
		return s.die(err)
	}
	s.stats.CheckpointWritten.Add(uint64(n))
	s.stats.Checkpoints.Add(1)
	s.durableMu.Lock()
	s.durable = c.groups
	s.durableMu.Unlock()
	for i := range c.Groups {
		if g := &c.Groups[i]; g.Replace {
			s.Log(g.ID).restart(&g.Group)
		} else {
			s.Log(g.ID).compact(g.Compacted, g.CompactedTerm)
		}
	}
	for _, x := range s.pending.stale {
		s.removeIndex(x)
	}
	s.pending.clear()
	s.surveyed.Store(false)
	for _, f := range c.removed {
		s.discard(f)
	}
	s.shedRuns()
	if err := s.lane.Free(c.free...); err != nil {
		return s.die(fmt.Errorf("freeing wal files: %w", err))
	}
	s.stats.FilesFreed.Add(uint64(len(c.free)))
	s.weigh()
	s.wakeRewriter() // files may have become ready for a rewrite
	return nil
}

// discard forgets a file that the checkpoint no longer has, and removes what
// is not the lane's. What cannot be removed is left to the next start.
func (s *Store) discard(f *file) {
	s.files.remove(f.id())
	s.pieces.forget(f)
	f.mu.Lock()
	x := f.index
	f.mu.Unlock()
	if x != nil {
		s.removeIndex(x)
	}
	if f.level > 0 {
		s.reader.ForgetData(f.path)
		_ = s.o.FS.Remove(f.path)
		s.stats.FilesFreed.Add(1)
	}
}

func (s *Store) removeIndex(x *segment.Index) {
	s.reader.Forget(x)
	_ = s.o.FS.Remove(x.Path)
}

// oldestInMemory returns the oldest WAL file of which records may be in memory.
func (s *Store) oldestInMemory() wal.FileNum {
	if s.lane == nil { // not open yet
		return 0
	}
	_, oldest := s.lane.Recent()
	return oldest
}

// shedRuns lets go of the runs in memory whose index is final and whose
// records have left memory.
func (s *Store) shedRuns() {
	oldest := s.oldestInMemory()
	for _, f := range s.files.all() {
		if f.level > 0 || f.num >= uint64(oldest) || !f.isFinal() {
			continue
		}
		for _, k := range f.attached() {
			k.p.shed(k.level, f)
		}
		f.mu.Lock()
		f.chains = nil
		f.mu.Unlock()
	}
}

func (p *partition) shed(level uint8, f *file) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.chain(level)
	for i := range c.spans {
		if c.spans[i].file == f {
			c.spans[i].mem = nil
		}
	}
}
