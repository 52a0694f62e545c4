package wal

import "sync"

// Memory is where a lane's chunks come from.
type Memory interface {
	// Take returns n bytes of arbitrary content, a multiple of pages that begins
	// on a page boundary.
	Take(n int) []byte
	// Give takes back what Take returned and nobody uses any more, cut to what
	// was used of it.
	Give(b []byte)
}

// heapMemory takes chunks from the Go heap. It is for tests and simulators above
// all: what is given back is overwritten, so that who uses it afterwards is
// found out, and a process that forgets a lane loses nothing.
type heapMemory struct {
	mu    sync.Mutex
	spare []byte
}

// poison is what heapMemory overwrites with: no valid frame, batch or length.
const poison = 0xDB

func (m *heapMemory) Take(n int) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.spare; len(b) == n {
		m.spare = nil
		return b
	}
	return aligned(n)
}

func (m *heapMemory) Give(b []byte) {
	for i := range b {
		b[i] = poison
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spare = b[:cap(b)]
}

// Mapped takes chunks from the operating system, outside the heap that the
// garbage collector looks after: it lets a heap grow to twice of what is in use,
// and nearly all that a busy server uses is recent records. A few chunks that
// were given back are kept for the next, the others go back to the system. To
// use them then is a fault that ends the process.
type Mapped struct {
	mu   sync.Mutex
	free [][]byte
}

// Take implements Memory.
func (m *Mapped) Take(n int) []byte {
	m.mu.Lock()
	for i, b := range m.free {
		if len(b) == n {
			last := len(m.free) - 1
			m.free[i], m.free[last] = m.free[last], nil
			m.free = m.free[:last]
			m.mu.Unlock()
			return b
		}
	}
	m.mu.Unlock()
	return mapMemory(n)
}

// Give implements Memory.
func (m *Mapped) Give(b []byte) {
	b = b[:cap(b)]
	m.mu.Lock()
	if len(m.free) < spareChunks && len(b) <= chunkBytes {
		m.free = append(m.free, b)
		m.mu.Unlock()
		return
	}
	m.mu.Unlock()
	unmapMemory(b)
}
