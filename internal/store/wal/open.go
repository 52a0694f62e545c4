package wal

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Open reads the lane from file Options.From on and calls visit for every
// entry and hard state in order, those repeated at the head of a file
// included. The body that visit sees is valid only during the call.
//
// A torn tail, the remains of a write that was never acknowledged, is erased.
// Damage to what was durable yields a *CorruptionError and changes nothing, and
// so does an error of visit or Options.Accept.
// When Open returns, all that was visited is durable.
func Open(o Options, visit func(pos Position, f Frame) error) (*Lane, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	l := &Lane{
		o:      o,
		pool:   pool{fs: o.FS, dir: o.Dir, size: o.FileSize, target: o.PoolTarget, reserve: o.PoolReserve, max: o.PoolMax},
		files:  files{fs: o.FS, lane: o.Lane, byNum: map[FileNum]*file{}},
		ready:  make(chan struct{}, 1),
		refill: make(chan struct{}, 1),
		w:      writer{recent: newRecent(&o)},
	}
	if err := l.recover(visit); err != nil {
		l.files.close()
		if l.w.f != nil {
			err = errors.Join(err, l.w.f.Close())
		}
		return nil, fmt.Errorf("open wal in %s: %w", o.Dir, err)
	}
	return l, nil
}

// recover brings the lane to the state in which it was left.
func (l *Lane) recover(visit func(pos Position, f Frame) error) error {
	named, err := l.list()
	if err != nil {
		return err
	}
	old, named := cut(named, l.o.From)
	for _, n := range old {
		l.files.add(FileInfo{Num: n}, l.path(n))
	}
	if len(named) == 0 && l.o.From+l.o.End.File > 0 {
		return l.missing(max(l.o.From, l.o.End.File))
	}
	l.probe()
	l.w.direct = l.direct != nil
	if len(named) == 0 {
		if err := l.accepted(); err != nil {
			return err
		}
		return l.create()
	}
	headers, err := l.headers(named)
	if err != nil {
		return err
	}
	for i := range headers[:len(headers)-1] {
		if _, err := l.scan(headers[i], headers[i+1].first, visit); err != nil {
			return err
		}
	}
	newest, err := l.scan(headers[len(headers)-1], 0, visit)
	if err == nil {
		err = l.reaches(newest)
	}
	if err == nil {
		err = l.accepted()
	}
	if err == nil {
		err = l.resume(newest)
	}
	if err != nil {
		return err
	}
	if len(l.heads) > maxGroups(l.o.FileSize) {
		return fmt.Errorf("files of %d bytes have no room for the hard states of %d groups", l.o.FileSize, len(l.heads))
	}
	return nil
}

// reaches checks that the log does not end before what is known to have been
// durable.
func (l *Lane) reaches(newest *scan) error {
	end := l.o.End
	switch num := newest.h.num; {
	case num < end.File:
		return l.missing(num + 1)
	case num == end.File && newest.off < end.Offset:
		return &CorruptionError{
			File: num, Path: newest.path, Offset: newest.off, Hint: hintDamage,
			Reason: fmt.Sprintf("the log ends here, but it was durable up to offset %d", end.Offset),
		}
	}
	return nil
}

func (l *Lane) accepted() error {
	if l.o.Accept == nil {
		return nil
	}
	return l.o.Accept()
}

// list returns the lane's files in order and fills the pool with the others.
func (l *Lane) list() ([]FileNum, error) {
	fs := l.o.FS
	if err := fs.MkdirAll(l.o.Dir, 0o755); err != nil {
		return nil, err
	}
	// A crash may have left names, the directory's own included, that are not
	// durable yet.
	if err := errors.Join(syncDir(fs, fs.PathDir(l.o.Dir)), syncDir(fs, l.o.Dir)); err != nil {
		return nil, err
	}
	names, err := fs.List(l.o.Dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var named []FileNum
	for _, name := range names {
		if n, ok := parseFileName(name); ok {
			named = append(named, n)
		}
		if id, ok := parseSpareName(name); ok {
			if err := l.pool.adopt(spare{id: id}); err != nil {
				return nil, err
			}
		}
	}
	return named, nil
}

// cut splits the sorted list before n.
func cut(named []FileNum, n FileNum) (before, from []FileNum) {
	i, _ := slices.BinarySearch(named, n)
	return named[:i], named[i:]
}

// create begins a new lane.
func (l *Lane) create() error {
	first, err := l.pool.take(true)
	if err != nil {
		return err
	}
	if err := l.begin(1, first); err != nil {
		return err
	}
	return l.commit(false)
}

// headers reads the headers of the files to recover, which must be without
// gaps.
func (l *Lane) headers(named []FileNum) ([]fileHeader, error) {
	all := make([]fileHeader, 0, len(named))
	want := l.o.From
	if want == 0 {
		want = named[0]
	}
	for _, n := range named {
		if n != want {
			return nil, l.missing(want)
		}
		want++
		f, err := l.o.FS.Open(l.path(n))
		if err != nil {
			return nil, err
		}
		h, err := readFileHeader(f, l.path(n), l.o.Lane, n)
		if err == nil {
			err = checkLength(f, l.path(n), &h)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		if n := len(all); n > 0 && h.first < all[n-1].first+uint64(all[n-1].heads) {
			return nil, &CorruptionError{
				File: h.num, Path: l.path(h.num), Hint: hintDamage,
				Reason: fmt.Sprintf("it begins with frame %d, before the end of the file before it", h.first),
			}
		}
		all = append(all, h)
	}
	return all, nil
}

// checkLength finds a file that was cut short: it had its whole length before it
// had its name.
func checkLength(f vfs.File, path string, h *fileHeader) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() >= h.size {
		return nil
	}
	return &CorruptionError{
		File: h.num, Path: path, Offset: info.Size(), Hint: hintDamage,
		Reason: fmt.Sprintf("it ends here, and was %d bytes long", h.size),
	}
}

func (l *Lane) missing(n FileNum) error {
	return &CorruptionError{File: n, Path: l.path(n), Reason: "the file is missing", Hint: hintDamage}
}

// scan reads one file; next is the sequence that the following one begins with,
// 0 for the newest.
func (l *Lane) scan(h fileHeader, next uint64, visit func(pos Position, f Frame) error) (*scan, error) {
	path := l.path(h.num)
	f, err := l.o.FS.Open(path)
	if err != nil {
		return nil, err
	}
	s := newScan(f, path, h, next)
	err = s.run(func(pos Position, f *Frame) error {
		if f.Kind == KindHardState {
			if len(f.Body) > MaxHardState {
				return fmt.Errorf("wal file %d: hard state of %d bytes", h.num, len(f.Body))
			}
			l.heads.set(f)
		}
		return visit(pos, *f)
	})
	info := FileInfo{Num: h.num} // of the newest the rest is known when it is sealed
	if next > 0 {
		info.Length, info.MaxIndex = s.off, s.max
	}
	l.files.add(info, path)
	return s, errors.Join(err, f.Close())
}

// resume makes the newest file the active one. Its tail may be in the page
// cache and nowhere else: after a sync that failed the kernel takes such pages
// for clean, and a sync now would do nothing. So what no frame says to be
// durable is written again, and then synced. Behind it the remains of a torn
// tail are erased, since the sequence numbers in them will be used again.
func (l *Lane) resume(s *scan) error {
	in, err := l.o.FS.Open(s.path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	f, err := l.openActive(s.path)
	if err != nil {
		return err
	}
	s.r = reader{f: in, size: s.r.size}
	w := &l.w
	w.f, w.num, w.size, w.lane, w.salt, w.chain = f, s.h.num, s.h.size, s.h.lane, s.h.salt, s.chain
	w.grown = roundUp(max(s.off, s.torn))
	w.enter(s.tail&^(pageSize-1), 0)
	for w.offset() < s.off {
		b, err := s.r.bytes(w.offset(), int(min(int64(s.r.size), s.off-w.offset())))
		if err != nil {
			return err
		}
		if err := w.put(b); err != nil {
			return err
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	if err := erase(f, roundUp(s.off), roundUp(s.torn)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if s.torn > 0 {
		l.o.Logger.Info("erased the remains of an unfinished write at the end of the log", "file", s.path, "offset", s.off)
	}
	l.sequence, l.durable, l.marked = s.sequence-1, s.sequence-1, s.proof
	l.max, l.active, l.end = s.max, s.h.num, Position{File: s.h.num, Offset: s.off}
	if l.active > 1 {
		signal(l.refill)
	}
	return l.commit(false)
}

// erase overwrites whole pages with zeros.
func erase(f io.WriterAt, from, to int64) error {
	if from >= to {
		return nil
	}
	zeros := aligned(int(min(fillChunk, to-from)))
	for ; from < to; from += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), to-from)], from); err != nil {
			return err
		}
	}
	return nil
}
