package wire

import "sync"

// Frame is the bytes of one request, pooled. It has one owner at a time.
type Frame struct {
	// B is the content.
	B []byte

	abandoned bool
}

// framePools has a pool of *Frame for each of frameSizes.
var framePools [len(frameSizes)]sync.Pool

// NewFrame returns a frame with room for n bytes and a B of length n, whose
// content is arbitrary.
func NewFrame(n int) *Frame {
	for i, size := range frameSizes {
		if n > size {
			continue
		}
		f, ok := framePools[i].Get().(*Frame)
		if !ok {
			f = &Frame{B: make([]byte, size)}
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

// Abandon says that somebody may look at the frame for longer than its owner: Free
// then leaves it to the garbage collector.
func (f *Frame) Abandon() { f.abandoned = true }

// Free gives the frame back. Nothing may alias it any more.
func (f *Frame) Free() {
	if f.abandoned {
		return
	}
	for i, size := range frameSizes {
		if cap(f.B) == size {
			framePools[i].Put(f)
			return
		}
	}
}
