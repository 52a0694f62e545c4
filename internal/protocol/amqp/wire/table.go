package wire

import (
	"encoding/binary"
	"iter"
	"math"
)

// The tags of field values, with the meanings that RabbitMQ gives them.
const (
	TagBool      = 't'
	TagInt8      = 'b'
	TagUint8     = 'B'
	TagInt16     = 's'
	TagUint16    = 'u'
	TagInt32     = 'I'
	TagUint32    = 'i'
	TagInt64     = 'l'
	TagInt64Old  = 'L' // written by some clients and readable by few; see Normalize
	TagFloat     = 'f'
	TagDouble    = 'd'
	TagDecimal   = 'D'
	TagString    = 'S'
	TagBytes     = 'x'
	TagArray     = 'A'
	TagTimestamp = 'T'
	TagTable     = 'F'
	TagVoid      = 'V'
)

// Table is a field table without the length that precedes it on the wire: names
// and tagged values, in order. One that was parsed as part of a method or of
// properties is well-formed all the way down; of any other, Valid tells.
type Table []byte

// Value is one value of a table or an array.
type Value struct {
	Tag byte
	// Raw is the value as on the wire, without tag, and without the length of
	// strings, arrays and tables. It aliases the table.
	Raw []byte
}

// Valid reports whether t is well-formed.
func (t Table) Valid() bool { return t.valid(maxDepth) }

func (t Table) valid(depth int) bool {
	for len(t) > 0 {
		n := 1 + int(t[0])
		if len(t) < n {
			return false
		}
		v, rest, ok := parseValue(t[n:])
		if !ok || !v.valid(depth) {
			return false
		}
		t = rest
	}
	return true
}

func (v Value) valid(depth int) bool {
	switch v.Tag {
	case TagTable:
		return depth > 0 && Table(v.Raw).valid(depth-1)
	case TagArray:
		for b := v.Raw; len(b) > 0; {
			e, rest, ok := parseValue(b)
			if !ok || depth == 0 || !e.valid(depth-1) {
				return false
			}
			b = rest
		}
	}
	return true
}

// fixed is the length of the values of a tag, -1 for those that say their own,
// -2 for a tag that does not exist.
func fixed(tag byte) int {
	switch tag {
	case TagVoid:
		return 0
	case TagBool, TagInt8, TagUint8:
		return 1
	case TagInt16, TagUint16:
		return 2
	case TagInt32, TagUint32, TagFloat:
		return 4
	case TagDecimal:
		return 5
	case TagInt64, TagInt64Old, TagDouble, TagTimestamp:
		return 8
	case TagString, TagBytes, TagArray, TagTable:
		return -1
	}
	return -2
}

// parseValue takes the tagged value at the beginning of b.
func parseValue(b []byte) (v Value, rest []byte, ok bool) {
	if len(b) == 0 {
		return v, nil, false
	}
	v.Tag, b = b[0], b[1:]
	n := fixed(v.Tag)
	if n == -1 && len(b) >= 4 {
		size := binary.BigEndian.Uint32(b)
		b = b[4:]
		if uint64(size) > uint64(len(b)) {
			return v, nil, false
		}
		n = int(size)
	}
	if n < 0 || n > len(b) {
		return v, nil, false
	}
	v.Raw = b[:n:n]
	return v, b[n:], true
}

// All yields the fields of a well-formed table in order. Names may repeat.
func (t Table) All() iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) {
		for len(t) > 0 {
			n := 1 + int(t[0])
			v, rest, ok := parseValue(t[n:])
			if !ok || !yield(t[1:n:n], v) {
				return
			}
			t = rest
		}
	}
}

// Get returns the first value called name.
func (t Table) Get(name string) (Value, bool) {
	for k, v := range t.All() {
		if string(k) == name {
			return v, true
		}
	}
	return Value{}, false
}

// Elements yields the values of an array in order, nothing for other values.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Tag != TagArray {
			return
		}
		for b := v.Raw; len(b) > 0; {
			e, rest, ok := parseValue(b)
			if !ok || !yield(e) {
				return
			}
			b = rest
		}
	}
}

// Int returns the value of any of the integer tags.
func (v Value) Int() (n int64, ok bool) {
	switch b := v.Raw; v.Tag {
	case TagInt8:
		return int64(int8(b[0])), true
	case TagUint8:
		return int64(b[0]), true
	case TagInt16:
		return int64(int16(binary.BigEndian.Uint16(b))), true
	case TagUint16:
		return int64(binary.BigEndian.Uint16(b)), true
	case TagInt32:
		return int64(int32(binary.BigEndian.Uint32(b))), true
	case TagUint32:
		return int64(binary.BigEndian.Uint32(b)), true
	case TagInt64, TagInt64Old:
		return int64(binary.BigEndian.Uint64(b)), true
	}
	return 0, false
}

// Str returns the value of a string.
func (v Value) Str() (s []byte, ok bool) {
	return v.Raw, v.Tag == TagString
}

// Bool returns the value of a boolean.
func (v Value) Bool() (b, ok bool) {
	if v.Tag != TagBool {
		return false, false
	}
	return v.Raw[0] != 0, true
}

// Float returns the value of a float or double.
func (v Value) Float() (f float64, ok bool) {
	switch v.Tag {
	case TagFloat:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(v.Raw))), true
	case TagDouble:
		return math.Float64frombits(binary.BigEndian.Uint64(v.Raw)), true
	}
	return 0, false
}

// Timestamp returns the seconds since the Unix epoch of a timestamp.
func (v Value) Timestamp() (sec uint64, ok bool) {
	if v.Tag != TagTimestamp {
		return 0, false
	}
	return binary.BigEndian.Uint64(v.Raw), true
}

// Normalize makes a well-formed table readable for every client, in place:
// RabbitMQ reads the tags l and L alike and writes l, and several clients know
// only that.
func (t Table) Normalize() {
	for len(t) > 0 {
		t = normalizeValue(t[1+int(t[0]):])
	}
}

func normalizeValue(b []byte) (rest []byte) {
	v, rest, ok := parseValue(b)
	if !ok {
		return nil
	}
	switch v.Tag {
	case TagInt64Old:
		b[0] = TagInt64
	case TagTable:
		Table(v.Raw).Normalize()
	case TagArray:
		for e := v.Raw; len(e) > 0; {
			e = normalizeValue(e)
		}
	}
	return rest
}

// Without appends the table to dst without the fields called name.
func (t Table) Without(dst []byte, name string) Table {
	for len(t) > 0 {
		n := 1 + int(t[0])
		_, rest, ok := parseValue(t[n:])
		if !ok {
			break
		}
		if field := t[:len(t)-len(rest)]; string(t[1:n]) != name {
			dst = append(dst, field...)
		}
		t = rest
	}
	return dst
}

// AppendValue appends a field with a value that was parsed or made before.
func (t Table) AppendValue(name string, v Value) Table {
	return v.append(t.name(name))
}

// append appends the value with its tag.
func (v Value) append(b []byte) []byte {
	b = append(b, v.Tag)
	if fixed(v.Tag) == -1 {
		b = binary.BigEndian.AppendUint32(b, uint32(len(v.Raw)))
	}
	return append(b, v.Raw...)
}

func (t Table) name(name string) Table {
	name = name[:min(len(name), maxShort)]
	return append(append(t, byte(len(name))), name...)
}

// AppendString, and its siblings below, append a field.
func (t Table) AppendString(name, value string) Table {
	t = append(t.name(name), TagString)
	return append(binary.BigEndian.AppendUint32(t, uint32(len(value))), value...)
}

// AppendInt appends a field of 64 bits.
func (t Table) AppendInt(name string, value int64) Table {
	return binary.BigEndian.AppendUint64(append(t.name(name), TagInt64), uint64(value))
}

// AppendTimestamp appends a field of seconds since the Unix epoch.
func (t Table) AppendTimestamp(name string, sec int64) Table {
	return binary.BigEndian.AppendUint64(append(t.name(name), TagTimestamp), uint64(sec))
}

// AppendBool appends a boolean.
func (t Table) AppendBool(name string, value bool) Table {
	var o byte
	if value {
		o = 1
	}
	return append(t.name(name), TagBool, o)
}

// AppendTable appends a table.
func (t Table) AppendTable(name string, value Table) Table {
	return t.AppendValue(name, Value{TagTable, value})
}

// AppendArray appends an array of what Array.Append has put together.
func (t Table) AppendArray(name string, value Array) Table {
	return t.AppendValue(name, Value{TagArray, value})
}

// Array is the elements of an array, tagged, in order.
type Array []byte

// Append appends an element.
func (a Array) Append(v Value) Array { return v.append(a) }
