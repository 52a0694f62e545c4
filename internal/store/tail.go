package store

import (
	"sync"

	"github.com/polylog-mq/polylog/internal/store/wal"
)

// tail keeps the most recent entries in memory, up to a number of bytes, in
// the order of Append over all groups.
type tail struct {
	max int64

	mu   sync.Mutex
	size int64
	q    []*entry
	head int // q[:head] has left memory
	// oldest is the WAL file of the oldest entry in memory; older files have
	// none.
	oldest wal.FileNum
}

func (t *tail) push(es []*entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range es {
		t.size += int64(e.size) + entryOverhead
	}
	t.q = append(t.q, es...)
}

// trim lets go of the oldest entries beyond the limit, but of none that is not
// on disk yet. active is the WAL file being written.
func (t *tail) trim(active wal.FileNum) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.head < len(t.q) && t.size > t.max && t.q[t.head].at.File != 0 {
		e := t.q[t.head]
		t.q[t.head] = nil
		t.head++
		t.size -= int64(e.size) + entryOverhead
		e.data.Store(nil)
	}
	if t.head == len(t.q) {
		t.q, t.head = t.q[:0], 0
		t.oldest = active
		return
	}
	if f := t.q[t.head].at.File; f != 0 {
		t.oldest = f
	}
	if t.head > len(t.q)/2 && t.head > 1024 {
		n := copy(t.q, t.q[t.head:])
		clear(t.q[n:])
		t.q, t.head = t.q[:n], 0
	}
}

// state returns the bytes in memory and the oldest file with some.
func (t *tail) state() (size int64, oldest wal.FileNum) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.size, t.oldest
}
