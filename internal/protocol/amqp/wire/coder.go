package wire

import (
	"encoding/binary"
	"unicode/utf8"
)

// coder walks over fields, reading them from b or appending them to it. After
// the first thing that cannot be read, bad is set and everything reads as zero.
type coder struct {
	b       []byte
	writing bool
	bad     bool
}

// take cuts n bytes off the front, nil if there are not as many.
func (c *coder) take(n int) []byte {
	if c.bad || n < 0 || n > len(c.b) {
		c.bad = true
		return nil
	}
	p := c.b[:n:n]
	c.b = c.b[n:]
	return p
}

func (c *coder) octet(v *uint8) {
	if c.writing {
		c.b = append(c.b, *v)
	} else if p := c.take(1); p != nil {
		*v = p[0]
	}
}

func (c *coder) short(v *uint16) {
	if c.writing {
		c.b = binary.BigEndian.AppendUint16(c.b, *v)
	} else if p := c.take(2); p != nil {
		*v = binary.BigEndian.Uint16(p)
	}
}

func (c *coder) long(v *uint32) {
	if c.writing {
		c.b = binary.BigEndian.AppendUint32(c.b, *v)
	} else if p := c.take(4); p != nil {
		*v = binary.BigEndian.Uint32(p)
	}
}

func (c *coder) longlong(v *uint64) {
	if c.writing {
		c.b = binary.BigEndian.AppendUint64(c.b, *v)
	} else if p := c.take(8); p != nil {
		*v = binary.BigEndian.Uint64(p)
	}
}

// shortstr is a string of at most 255 bytes, which must be UTF-8 in a method.
// A longer one is cut when written.
func (c *coder) shortstr(v *[]byte) {
	if c.propstr(v); !c.writing && !ascii(*v) && !utf8.Valid(*v) {
		c.bad = true
	}
}

// propstr is a shortstr of the content's properties, which may be any bytes.
func (c *coder) propstr(v *[]byte) {
	if c.writing {
		s := (*v)[:min(len(*v), maxShort)]
		c.b = append(append(c.b, byte(len(s))), s...)
	} else if n := c.take(1); n != nil {
		*v = c.take(int(n[0]))
	}
}

func ascii(s []byte) bool {
	for _, ch := range s {
		if ch >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (c *coder) longstr(v *[]byte) {
	if c.writing {
		c.b = append(binary.BigEndian.AppendUint32(c.b, uint32(len(*v))), *v...)
	} else if n := c.take(4); n != nil {
		*v = c.take(int(binary.BigEndian.Uint32(n)))
	}
}

func (c *coder) table(v *Table) {
	if c.longstr((*[]byte)(v)); !c.writing && !v.valid(maxDepth) {
		c.bad = true
	}
}

// bits are up to eight booleans in one octet, the first the lowest. Bits that
// have no meaning are passed over.
func (c *coder) bits(vs ...*bool) {
	if c.writing {
		var o byte
		for i, v := range vs {
			if *v {
				o |= 1 << i
			}
		}
		c.b = append(c.b, o)
	} else if p := c.take(1); p != nil {
		for i, v := range vs {
			*v = p[0]&(1<<i) != 0
		}
	}
}
