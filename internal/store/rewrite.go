package store

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store/segment"
	"github.com/polylog-mq/polylog/internal/store/wal"
)

// job is a rewrite under way: the wanted runs of some files go, sorted by
// partition, level and offset, to new level 1 files.
type job struct {
	s    *Store
	old  map[*file]bool
	all  []chainKey        // with runs in the old files
	many map[chainKey]bool // those with bodies that other partitions want too
	keys []chainKey        // those still to come; the first is being worked on

	// The level being worked on.
	spans []span // of it, that lie in old files, still to come
	cuts  []bool // spans[i] does not follow the one before it directly
	cut   bool   // nor does the next run
	cur   *segment.Cursor
	in    span
	low   record.Offset // nothing below is wanted
	own   bool          // its records go to a file of their own
	// settled tells what else is not wanted of it; see SetSettled.
	settled settledPages
	// patience is how many runs a step still passes over.
	patience int
	// left is the bytes of settled records left behind.
	left     int64
	thinning record.Thinning
	thinned  []byte

	// What belongs to a job of compaction: the runs of one partition from lo to
	// below hi, and no run that begins at stop or above.
	clean        *cleaning
	dry          bool
	lo, stop, hi record.Offset
	mem          [][]memRun // those still to come of the span, if its index is not final
	bytes, taken int64      // of the spans, and of the runs taken from them

	shared, single *output
	done           []*finished
	// moved says where bodies with several targets went, as long as shared is
	// the file.
	moved map[bodyKey]uint32
	win   window
}

// bodyKey names a body by where it was.
type bodyKey struct {
	f   *file
	pos uint32
}

// Rewrite does one step, about budget bytes, of rewriting level 0 files into
// level 1, and reports whether there was anything to do. Its results count
// from the next checkpoint on. One call at a time has effect; others wait. An
// error ends the rewrite under way and leaves the files as they were.
func (s *Store) Rewrite(budget int) (bool, error) {
	s.rewriting.Lock()
	defer s.rewriting.Unlock()
	if err := s.Err(); err != nil {
		return false, err
	}
	if s.job == nil {
		if did, err := s.beginJob(budget); s.job == nil {
			return did, err
		}
	}
	j := s.job
	more, err := j.step(budget)
	if err == nil && !more {
		err = j.finish()
	}
	if err != nil {
		j.abort()
		s.job = nil
		if errors.Is(err, errGone) {
			return true, nil // a file was dropped under it; the next job knows
		}
		if j.clean != nil {
			return s.giveUp(j.clean, err)
		}
		return false, fmt.Errorf("rewriting segments: %w", err)
	}
	if !more {
		s.job, s.cleanFirst = nil, j.clean == nil && s.Health().Debt < 0.5
	}
	return true, nil
}

// beginJob begins a job, of rewriting and of compaction in turn, or does a step
// of the latter's that needs none.
func (s *Store) beginJob(budget int) (bool, error) {
	if s.cleanFirst {
		if did, err := s.clean(budget); did || err != nil {
			return did, err
		}
		s.cleanFirst = false
	}
	var err error
	if s.job, err = s.newJob(); s.job != nil || err != nil {
		return errors.Is(err, errGone), unlessGone(err) // a checkpoint was faster; the next plan knows
	}
	return s.clean(budget)
}

func unlessGone(err error) error {
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// candidates describes the files whose index is final.
func (s *Store) candidates() ([]*file, []candidate) {
	oldest := s.oldestInMemory()
	var fs []*file
	var cs []candidate
	for _, f := range s.files.all() {
		f.mu.Lock()
		final, loaded, damaged, size := f.info.Final, len(f.chains) > 0, f.damaged, f.info.DataLen
		f.mu.Unlock()
		if !final || damaged {
			continue
		}
		if f.level == 0 {
			size = s.o.WALFileSize
		}
		fs = append(fs, f)
		cs = append(cs, candidate{
			level: f.level, size: size, live: f.live.Load(), settled: f.settled.Load(), runs: f.runs.Load(),
			ready: !loaded && (f.level > 0 || wal.FileNum(f.num) < oldest),
		})
	}
	return fs, cs
}

// newJob begins a rewrite, or returns nil if none pays.
func (s *Store) newJob() (*job, error) {
	if err := s.survey(); err != nil {
		return nil, err
	}
	fs, cs := s.candidates()
	chosen := s.o.Rewriting.plan(cs)
	if len(chosen) == 0 {
		return nil, nil
	}
	j := &job{s: s, old: map[*file]bool{}, many: map[chainKey]bool{}, moved: map[bodyKey]uint32{}}
	var live int64
	for _, i := range chosen {
		live += cs[i].wanted()
	}
	if uint64(live) > s.roomLeft()/2 {
		return nil, nil // until there is room, files are freed only whole
	}
	for _, i := range chosen {
		f := fs[i]
		s.prefetch(f, 0, cs[i].size) // it will be read in the order of partitions
		_, spans, err := s.reader.Open(f.index.Path, f.index.Digest)
		if err != nil {
			return nil, j.blame(f, s.explain(err))
		}
		j.old[f] = true
		for k := range spans {
			if p := s.partitions.get(spans[k].Partition); p != nil {
				key := chainKey{p, spans[k].Level}
				j.keys = append(j.keys, key)
				if spans[k].Shared > 0 {
					j.many[key] = true
				}
			}
		}
	}
	slices.SortFunc(j.keys, chainKey.compare)
	j.keys = slices.Compact(j.keys)
	j.all = j.keys
	if len(j.keys) > 0 {
		return j, j.begin()
	}
	return j, nil
}

// blame keeps a damaged file out of later rewrites, so that they go on with
// the others.
func (j *job) blame(f *file, err error) error {
	if errors.Is(err, ErrDamaged) {
		f.mu.Lock()
		f.damaged = true
		f.mu.Unlock()
	}
	return err
}

// begin takes up the level keys[0].
func (j *job) begin() error {
	k := j.keys[0]
	j.take(k)
	bytes, err := j.settled.weigh(j.spans)
	j.own = bytes >= j.s.o.Rewriting.OwnFile && !j.many[k]
	return err
}

// take takes up the spans of a level that lie in the old files.
func (j *job) take(k chainKey) {
	j.spans, j.cuts, j.cut, j.cur = j.spans[:0], j.cuts[:0], false, nil
	j.settled = settledPages{}
	k.p.mu.RLock()
	defer k.p.mu.RUnlock()
	c := k.p.chain(k.level)
	if c == nil {
		return
	}
	j.low = max(k.p.floor.durable, c.floor.durable)
	j.settled = j.s.pagesOf(k.p, j.low)
	between := true
	for i := range c.spans {
		s := &c.spans[i]
		if !j.old[s.file] {
			between = true
			continue
		}
		j.spans = append(j.spans, *s)
		j.cuts = append(j.cuts, between)
		between = false
	}
}

// next returns the next run to move; none when the level is done, or the step
// has passed over enough.
func (j *job) next() (it item, ok bool, err error) {
	for ; j.patience > 0; j.patience-- {
		if j.cur == nil && len(j.mem) == 0 {
			if len(j.spans) == 0 {
				return it, false, nil
			}
			if err := j.enter(); err != nil {
				return it, false, err
			}
			continue
		}
		r, err := j.fromSpan()
		if err != nil {
			return it, false, j.blame(j.in.file, j.s.explain(err))
		}
		if r == nil {
			continue
		}
		if j.clean != nil {
			if r.Base >= j.stop && j.in.mem != nil {
				j.spans, j.mem = nil, nil
				return it, false, nil
			}
			j.hi = max(j.hi, r.Last+1)
			j.taken += int64(r.Len)
		}
		if r.Last < j.low {
			continue
		}
		it = item{run: *r, f: j.in.file, cut: j.cut}
		if wanted, err := j.sift(&it); err != nil || wanted {
			j.cut = false
			return it, err == nil, err
		}
	}
	return it, false, nil
}

// enter begins the next span.
func (j *job) enter() error {
	j.in, j.cut = j.spans[0], j.cut || j.cuts[0]
	j.spans, j.cuts = j.spans[1:], j.cuts[1:]
	if err := j.open(); err != nil {
		return j.blame(j.in.file, j.s.explain(err))
	}
	return nil
}

// open begins to read the runs of the span in.
func (j *job) open() (err error) {
	if j.in.mem != nil {
		j.mem = j.in.mem.pieces
		return nil
	}
	k := j.keys[0]
	s := segment.Span{Partition: k.p.id, Level: k.level, First: j.in.first, Last: j.in.last, Block: j.in.block}
	j.cur, err = j.s.reader.Scan(j.in.file.final.Load(), &s)
	return err
}

// fromSpan returns the next run of the span in, nil behind the last.
func (j *job) fromSpan() (r *Run, err error) {
	if len(j.mem) > 0 {
		r = &j.mem[0][0].Run
		if j.mem[0] = j.mem[0][1:]; len(j.mem[0]) == 0 {
			j.mem = j.mem[1:]
		}
		return r, nil
	}
	if r, err = j.cur.Next(); r == nil {
		j.cur = nil
	}
	return r, err
}

// step moves about budget bytes and reports whether there is more to do. What
// it moves goes to one output.
func (j *job) step(budget int) (more bool, err error) {
	if j.shared != nil && j.shared.data.Size() >= rewriteBytes {
		if err := j.end(&j.shared); err != nil {
			return false, err
		}
	}
	w := &j.win
	w.reset()
	j.patience = windowRuns
	for len(j.keys) > 0 && w.bytes < min(budget, windowBytes) && len(w.items) < windowRuns {
		it, ok, err := j.next()
		if err != nil {
			return false, err
		}
		if ok {
			w.own = j.own
			w.add(&it, j.moved)
			continue
		}
		if j.patience == 0 {
			break
		}
		w.ends = j.own
		if j.keys = j.keys[1:]; len(j.keys) > 0 {
			if err := j.begin(); err != nil {
				return false, err
			}
		}
		if w.ends || j.own && len(w.items) > 0 {
			break // what comes next goes elsewhere
		}
	}
	if err := w.read(j); err != nil {
		return false, err
	}
	if err := j.write(w); err != nil {
		return false, err
	}
	return len(j.keys) > 0, nil
}

// write puts a window's runs into the output that they belong to.
func (j *job) write(w *window) error {
	if j.clean != nil {
		return j.thin(w)
	}
	out := &j.shared
	if w.own {
		out = &j.single
	}
	if *out == nil && len(w.items) > 0 {
		o, err := j.s.newOutput()
		if err != nil {
			return err
		}
		*out = o
	}
	for i := range w.items {
		it := &w.items[i]
		if it.cut {
			(*out).index.Cut()
		}
		if it.gone != nil {
			if err := j.writeSifted(*out, it, w.body(it)); err != nil {
				return err
			}
			continue
		}
		run := it.run
		key := bodyKey{it.f, run.Pos}
		pos, there := j.moved[key]
		if !there {
			pos = (*out).data.Append(w.body(it))
			if run.Flags&segment.Shared != 0 {
				j.moved[key] = pos
			}
		}
		run.Pos = pos
		(*out).index.AddOf(&run, it.records)
	}
	if w.ends {
		return j.end(&j.single)
	}
	return nil
}

// end finishes an output file.
func (j *job) end(out **output) error {
	if *out == nil {
		return nil
	}
	done, err := (*out).finish()
	if out == &j.shared {
		clear(j.moved)
	}
	*out = nil
	if err != nil {
		return err
	}
	j.done = append(j.done, done)
	j.s.stats.RewriteWritten.Add(uint64(done.file.info.DataLen + done.file.index.Size))
	return nil
}

// finish puts the new files in the place of the old ones.
func (j *job) finish() error {
	s := j.s
	if j.dry {
		j.clean.passed(j)
		return nil // it stays as it is
	}
	if err := errors.Join(j.end(&j.shared), j.end(&j.single)); err != nil {
		return err
	}
	if err := syncDir(s.o.FS, s.segmentDir()); err != nil {
		return err
	}
	s.cutting.Lock()
	defer s.cutting.Unlock()
	if j.clean != nil && j.clean.p.leaves(j.hi) {
		return errGone // a checkpoint has made the index final meanwhile
	}
	for _, d := range j.done {
		s.pending.files[d.file.id()] = d.file.info
	}
	if j.clean != nil {
		j.install()
		j.clean.passed(j)
	} else {
		s.install(j.done, j.all, j.old)
		s.stats.Rewrites.Add(1)
		s.stats.Settled.Add(uint64(j.left))
		s.since.dead.Add(j.left)
	}
	s.weigh()
	return nil
}

// abort removes what the job has written.
func (j *job) abort() {
	for _, out := range [...]*output{j.shared, j.single} {
		if out != nil {
			out.abort()
		}
	}
	for _, d := range j.done {
		d.discard(j.s)
	}
}

// item is a run to be moved.
type item struct {
	run Run // Pos as in the old file
	f   *file
	cut bool
	buf int // where in the window its body goes, if that is still to be moved
	// records is how many are wanted; gone is what is to be left out.
	records int64
	gone    []stretch
}

// window is what one step moves.
type window struct {
	items []item
	own   bool // to a file that has one partition only
	ends  bool // which is then whole
	bytes int
	buf   []byte
	order []int // items with bodies to read, by where they lie
	seen  map[bodyKey]bool
	chunk []byte
}

func (w *window) reset() {
	w.items, w.order = w.items[:0], w.order[:0]
	w.bytes, w.own, w.ends = 0, false, false
	clear(w.seen)
}

func (w *window) body(it *item) []byte { return w.buf[it.buf : it.buf+int(it.run.Len)] }

// add takes a run. moved says which bodies with several targets need not come
// again; once it is full, others are copied for each target.
func (w *window) add(it *item, moved map[bodyKey]uint32) {
	it.buf = w.bytes
	here := false
	if it.run.Flags&segment.Shared != 0 {
		key := bodyKey{it.f, it.run.Pos}
		_, here = moved[key]
		here = here || w.seen[key]
		switch {
		case here:
		case len(moved)+len(w.seen) < maxMoved:
			if w.seen == nil {
				w.seen = map[bodyKey]bool{}
			}
			w.seen[key] = true
		default:
			it.run.Flags &^= segment.Shared
		}
	}
	w.items = append(w.items, *it)
	if !here {
		w.order = append(w.order, len(w.items)-1)
		w.bytes += int(it.run.Len)
	}
}

// read fetches the bodies in the order in which they lie, neighbours at once,
// and verifies them.
func (w *window) read(j *job) error {
	w.buf = slices.Grow(w.buf[:0], w.bytes)[:w.bytes]
	slices.SortFunc(w.order, func(a, b int) int {
		x, y := &w.items[a], &w.items[b]
		return cmp.Or(x.f.compare(y.f), cmp.Compare(x.run.Pos, y.run.Pos))
	})
	for n := 0; n < len(w.order); {
		first := &w.items[w.order[n]]
		start, end := int64(first.run.Pos), int64(first.run.Pos)+int64(first.run.Len)
		m := n + 1
		for ; m < len(w.order); m++ {
			it := &w.items[w.order[m]]
			if it.f != first.f || int64(it.run.Pos) > end+gapBytes || int64(it.run.Pos)+int64(it.run.Len)-start > rewriteChunk {
				break
			}
			end = max(end, int64(it.run.Pos)+int64(it.run.Len))
		}
		w.chunk = slices.Grow(w.chunk[:0], int(end-start))[:end-start]
		if err := j.s.readFile(first.f, w.chunk, start); err != nil {
			return j.blame(first.f, err)
		}
		j.s.stats.RewriteRead.Add(uint64(end - start))
		for ; n < m; n++ {
			it := &w.items[w.order[n]]
			body := w.body(it)
			copy(body, w.chunk[int64(it.run.Pos)-start:])
			if err := verifyRun(&it.run, body); err != nil {
				return j.blame(it.f, j.s.damage(j.s.pathOf(it.f), int64(it.run.Pos), err.Error()))
			}
		}
	}
	return nil
}
