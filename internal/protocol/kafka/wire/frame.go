package wire

import "sync"

// Frame is the bytes of one request, pooled. It has one owner at a time.
type Frame struct {
	// B is the content.
	B []byte
}

var framePools = [...]struct {
	size int
	pool sync.Pool
}{{size: smallFrame}, {size: mediumFrame}, {size: largeFrame}}

// NewFrame returns a frame with room for n bytes and a B of length n, whose
// content is arbitrary.
func NewFrame(n int) *Frame {
	for i := range framePools {
		p := &framePools[i]
		if n > p.size {
			continue
		}
		f, ok := p.pool.Get().(*Frame)
		if !ok {
			f = &Frame{B: make([]byte, p.size)}
		}
		f.B = f.B[:n]
		return f
	}
	return &Frame{B: make([]byte, n)}
}

// Grow returns a frame of n bytes that begins with f's, and frees f.
func (f *Frame) Grow(n int) *Frame {
	if n <= cap(f.B) {
		f.B = f.B[:n]
		return f
	}
	g := NewFrame(n)
	copy(g.B, f.B)
	f.Free()
	return g
}

// Free gives the frame back. Nothing may alias it any more.
func (f *Frame) Free() {
	for i := range framePools {
		if p := &framePools[i]; cap(f.B) == p.size {
			p.pool.Put(f)
			return
		}
	}
}
