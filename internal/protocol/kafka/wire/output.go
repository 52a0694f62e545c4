package wire

import (
	"encoding/binary"
	"net"
)

// Output gathers responses until they are written together. Small things are
// appended to B; record bytes are spliced in where they lie, uncopied. It
// belongs to one goroutine.
type Output struct {
	// B holds everything but the spliced bytes. Encoders append to it.
	B []byte

	splices []splice
	spliced int // bytes in splices
	vec     net.Buffers
}

type splice struct {
	at int // position in B that the bytes come before
	b  []byte
}

// Mark is where a response begins.
type Mark struct{ at, spliced int }

// Begin starts a response: it makes room for the frame's length.
func (o *Output) Begin() Mark {
	m := Mark{len(o.B), o.spliced}
	o.B = append(o.B, 0, 0, 0, 0)
	return m
}

// End completes the response begun at m: it fills in the length.
func (o *Output) End(m Mark) {
	n := len(o.B) - m.at - LengthSize + o.spliced - m.spliced
	binary.BigEndian.PutUint32(o.B[m.at:], uint32(n))
}

// Splice puts b next, without copying it: it must not change until Reset.
func (o *Output) Splice(b []byte) {
	if len(b) == 0 {
		return
	}
	o.splices = append(o.splices, splice{len(o.B), b})
	o.spliced += len(b)
}

// Size returns how many bytes wait to be written.
func (o *Output) Size() int { return len(o.B) + o.spliced }

// Buffers returns all bytes in order, for one writev. They are valid until
// Reset.
func (o *Output) Buffers() net.Buffers {
	o.vec = o.vec[:0]
	at := 0
	for _, s := range o.splices {
		if s.at > at {
			o.vec = append(o.vec, o.B[at:s.at])
			at = s.at
		}
		o.vec = append(o.vec, s.b)
	}
	if at < len(o.B) {
		o.vec = append(o.vec, o.B[at:])
	}
	return o.vec
}

// Reset forgets everything.
func (o *Output) Reset() {
	clear(o.splices)
	clear(o.vec)
	o.splices, o.vec, o.spliced = o.splices[:0], o.vec[:0], 0
	o.B = o.B[:0]
	if cap(o.B) > maxKeptOutput {
		o.B = nil
	}
}
