package wal

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
)

// Flush writes what is queued, up to about 4 MiB, syncs once if any batch asks
// for it, calls Done for each, and reports whether there was anything. When
// there was nothing, and what was synced last is not yet marked so, it writes
// that mark without a sync.
func (l *Lane) Flush() bool {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	if !l.gather() {
		l.mark()
		return false
	}
	l.flushStep()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left = l.done < len(l.work)
	return true
}

// gather moves the queue behind the work at hand and reports whether there is
// any.
func (l *Lane) gather() bool {
	if l.done > 0 { // what one step left over moves to the front
		n := copy(l.work, l.work[l.done:])
		clear(l.work[n:])
		l.work, l.done = l.work[:n], 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.work = append(l.work, l.queue...)
	clear(l.queue)
	l.queue = l.queue[:0]
	return len(l.work) > 0
}

// flushStep is one group commit.
func (l *Lane) flushStep() {
	l.steps.Add(1)
	l.step, l.pos = l.step[:0], l.pos[:0]
	sync := false
	for size := 0; l.done < len(l.work) && size < stepBytes; l.done++ {
		b := l.work[l.done]
		first := len(l.pos)
		err := l.write(b)
		l.step = append(l.step, outcome{b, first, err})
		sync = sync || b.Sync && err == nil
		for i := range b.Frames {
			size += int(FrameSize(b.Frames[i].size()))
		}
	}
	err := l.Err()
	if err == nil {
		err = l.commit(sync)
	}
	for i := range l.step {
		o := &l.step[i]
		switch {
		case o.err != nil:
			o.batch.Done(nil, o.err)
		case err != nil:
			o.batch.Done(nil, err)
		default:
			end := o.first + len(o.batch.Frames)
			o.batch.Done(l.pos[o.first:end:end], nil)
		}
	}
	clear(l.step)
	l.w.recent.trim()
}

// write puts a batch's frames into the buffer, and full files to disk. An
// error is either a refusal, with nothing written, or the lane's death.
func (l *Lane) write(b *Batch) error {
	if err := l.Err(); err != nil {
		return err
	}
	rotations, err := l.plan(b)
	if err != nil {
		return err
	}
	if err := l.provide(rotations, b.Reserve); err != nil {
		return err
	}
	for i := range b.Frames {
		f := &b.Frames[i]
		if !l.w.fits(FrameSize(f.size())) {
			if err := l.rotate(); err != nil {
				return l.die(err)
			}
		}
		seed := l.w.chain
		at, err := l.put(f)
		if err != nil {
			return l.die(err)
		}
		l.pos = append(l.pos, Position{l.w.num, at, seed})
		if f.Kind == KindEntry {
			l.max = raise(l.max, f)
		} else {
			l.heads.set(f)
		}
	}
	return nil
}

// plan checks a batch and returns how many new files it may need.
func (l *Lane) plan(b *Batch) (rotations int, err error) {
	groups := len(l.heads)
	at, size := l.w.offset(), l.w.size
	for i := range b.Frames {
		f := &b.Frames[i]
		n := f.size()
		if f.Kind == KindHardState {
			if _, known := l.heads.find(f.Group); !known {
				groups++
			}
		}
		switch {
		case f.Kind != KindEntry && f.Kind != KindHardState:
			return 0, fmt.Errorf("append to the wal: frame of kind %d", f.Kind)
		case n > MaxBody(l.o.FileSize), f.Kind == KindHardState && n > MaxHardState, groups > maxGroups(l.o.FileSize):
			return 0, fmt.Errorf("%w: %s of %d bytes, %d groups", ErrTooLarge, f.Kind, n, groups)
		}
		if at+FrameSize(n) > size-endRoom {
			rotations++
			at, size = headSize(groups), l.o.FileSize
		}
		at += FrameSize(n)
	}
	return rotations, nil
}

// provide takes as many files from the pool as a batch may need, so that it is
// refused as a whole or not at all.
func (l *Lane) provide(n int, reserve bool) error {
	for len(l.spares) < n {
		next, err := l.pool.take(reserve)
		if errors.Is(err, ErrNoSpace) {
			return err
		}
		if err != nil {
			return l.die(err)
		}
		l.spares = append(l.spares, next)
		signal(l.refill)
	}
	return nil
}

// put appends one frame.
func (l *Lane) put(f *Frame) (int64, error) {
	l.sequence++
	l.marked = l.durable
	at, err := l.w.frame(f, l.sequence, l.durable)
	if err != nil {
		err = fmt.Errorf("write wal file %d: %w", l.w.num, err)
	}
	return at, err
}

// commit writes the buffer and makes it durable if asked to.
func (l *Lane) commit(sync bool) error {
	write := l.w.flush
	if sync && !fault.On(fault.AckBeforeSync) {
		write = l.w.sync
	}
	if err := write(); err != nil {
		return l.die(fmt.Errorf("write wal file %d: %w", l.w.num, err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if sync {
		l.durable, l.end = l.sequence, Position{File: l.w.num, Offset: l.w.offset()}
	}
	l.room = max(0, l.w.size-endRoom-l.w.offset())
	if l.active == 1 && l.room < l.w.size/2 {
		signal(l.refill)
	}
	return nil
}

// mark writes, unsynced, that everything so far is durable. Without it, damage
// to the last acknowledged frame would look like a torn tail.
func (l *Lane) mark() {
	if l.marked == l.durable || l.w.offset()+endRoom > l.w.size || l.Err() != nil {
		return
	}
	if _, err := l.put(&Frame{Kind: KindMark}); err != nil {
		_ = l.die(err)
		return
	}
	_ = l.commit(false) // the lane remembers the error
}

// rotate seals the active file and goes on in the next. The order is what
// recovery relies on: the old file is whole and durable before the next one has
// its name, and so is the next one's head. What seals the old one is not synced:
// no crash takes the next file's name any more, and somebody who removes the
// file is found out.
func (l *Lane) rotate() error {
	if err := l.w.sync(); err != nil {
		return fmt.Errorf("sync wal file %d before the next: %w", l.w.num, err)
	}
	l.durable = l.sequence
	l.files.seal(FileInfo{Num: l.w.num, Length: l.w.offset(), MaxIndex: slices.Clone(l.max)})
	old, num := l.w.f, l.w.num
	l.w.f = nil
	seal, at := l.w.seal(l.sequence + 1)
	next := l.spares[0]
	l.spares = append(l.spares[:0], l.spares[1:]...)
	if err := l.begin(num+1, next); err != nil {
		return errors.Join(err, old.Close())
	}
	_, err := old.WriteAt(seal, at)
	if err = errors.Join(err, old.Close()); err != nil {
		return fmt.Errorf("seal wal file %d: %w", num, err)
	}
	return nil
}

// begin makes a spare file the active one.
func (l *Lane) begin(n FileNum, s spare) error {
	fs, path := l.o.FS, l.pool.path(s.id)
	h, err := l.openActive(path)
	if err != nil {
		return fmt.Errorf("open the next wal file: %w", err)
	}
	l.w.f, l.w.grown = h, s.written
	if err := l.begun(n); err != nil {
		return fmt.Errorf("begin wal file %d: %w", n, err)
	}
	if err := fs.Rename(path, l.path(n)); err != nil {
		return fmt.Errorf("name wal file %d: %w", n, err)
	}
	if err := syncDir(fs, l.o.Dir); err != nil {
		return err
	}
	l.max = l.max[:0]
	l.files.add(FileInfo{Num: n}, l.path(n))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active, l.end = n, Position{File: n, Offset: l.w.offset()}
	return nil
}

// begun writes and syncs the head of a new file: its header and the last hard
// state of each group.
func (l *Lane) begun(n FileNum) error {
	var salt [4]byte
	if _, err := io.ReadFull(l.o.Salt, salt[:]); err != nil {
		return fmt.Errorf("draw its salt: %w", err)
	}
	h := fileHeader{
		version: formatVersion, lane: l.o.Lane, salt: binary.LittleEndian.Uint32(salt[:]), num: n,
		size: l.o.FileSize, first: l.sequence + 1, heads: uint32(len(l.heads)),
	}
	if err := l.w.start(&h); err != nil {
		return err
	}
	for i := range l.heads {
		f := l.heads.get(i)
		if _, err := l.put(&f); err != nil {
			return err
		}
	}
	if err := l.w.flush(); err != nil {
		return err
	}
	if err := l.w.f.Sync(); err != nil { // its size may have changed too
		return err
	}
	l.durable = l.sequence
	return nil
}

// raise notes an entry's index in the sorted list of a file's largest ones.
func raise(all []GroupIndex, f *Frame) []GroupIndex {
	i, ok := slices.BinarySearchFunc(all, f.Group, func(g GroupIndex, id record.ShardID) int { return cmp.Compare(g.Group, id) })
	if !ok {
		return slices.Insert(all, i, GroupIndex{f.Group, f.Index})
	}
	all[i].Index = max(all[i].Index, f.Index)
	return all
}
