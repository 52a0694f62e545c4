package route

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Table is the body of an AMQP 0-9-1 field table (without the length before
// it), with the field types that RabbitMQ reads and writes: a list of name (one
// byte of length, bytes), type, value. A nil Table is an empty one. Functions
// that take a Table read it only; whoever hands one over for keeping must not
// change it any more.
//
// Protocols other than AMQP that use exchanges write their headers in this form
// (AppendText, AppendInteger).
type Table []byte

// The types of fields.
const (
	TypeBool      = 't'
	TypeInt8      = 'b'
	TypeUint8     = 'B'
	TypeInt16     = 's'
	TypeUint16    = 'u'
	TypeInt32     = 'I'
	TypeUint32    = 'i'
	TypeInt64     = 'l'
	TypeInt64Old  = 'L' // the same, as some clients write it
	TypeFloat     = 'f'
	TypeDouble    = 'd'
	TypeDecimal   = 'D'
	TypeText      = 'S'
	TypeArray     = 'A'
	TypeTimestamp = 'T'
	TypeTable     = 'F'
	TypeVoid      = 'V'
	TypeBytes     = 'x'
)

// ErrMalformedTable is wrapped by every error about the form of a table.
var ErrMalformedTable = errors.New("malformed field table")

// Value is one value of a table.
type Value struct {
	// Type is one of the types above.
	Type byte
	// Data is the value as it stands in the table, big endian; of text, bytes,
	// arrays and tables without the length. It aliases the table.
	Data []byte
}

// fixed returns the size of values of a type, -1 if a length of 4 bytes stands
// before them; false for a type that does not exist.
func fixed(t byte) (size int, ok bool) {
	switch t {
	case TypeVoid:
		return 0, true
	case TypeBool, TypeInt8, TypeUint8:
		return 1, true
	case TypeInt16, TypeUint16:
		return 2, true
	case TypeInt32, TypeUint32, TypeFloat:
		return 4, true
	case TypeDecimal:
		return 5, true
	case TypeInt64, TypeInt64Old, TypeDouble, TypeTimestamp:
		return 8, true
	case TypeText, TypeBytes, TypeArray, TypeTable:
		return -1, true
	}
	return 0, false
}

// cutValue takes the first value (type and data) off b.
func cutValue(b []byte) (v Value, rest []byte, err error) {
	if len(b) == 0 {
		return v, nil, fmt.Errorf("%w: a value is missing", ErrMalformedTable)
	}
	size, ok := fixed(b[0])
	if !ok {
		return v, nil, fmt.Errorf("%w: there is no type %q", ErrMalformedTable, b[0])
	}
	v.Type, b = b[0], b[1:]
	if size < 0 {
		if len(b) < 4 {
			return v, nil, fmt.Errorf("%w: a length is missing", ErrMalformedTable)
		}
		n := binary.BigEndian.Uint32(b)
		b = b[4:]
		if uint64(n) > uint64(len(b)) {
			return v, nil, fmt.Errorf("%w: %d bytes announced, %d left", ErrMalformedTable, n, len(b))
		}
		size = int(n)
	}
	if size > len(b) {
		return v, nil, fmt.Errorf("%w: a value of %d bytes, %d left", ErrMalformedTable, size, len(b))
	}
	v.Data = b[:size:size]
	return v, b[size:], nil
}

// cutField takes the first field off a table that is not empty.
func cutField(b []byte) (name []byte, v Value, rest []byte, err error) {
	n := int(b[0])
	if n >= len(b) {
		return nil, v, nil, fmt.Errorf("%w: a name of %d bytes, %d left", ErrMalformedTable, n, len(b)-1)
	}
	name, b = b[1:1+n:1+n], b[1+n:]
	v, rest, err = cutValue(b)
	return name, v, rest, err
}

// Check returns an error that wraps ErrMalformedTable unless t is well formed,
// nested tables and arrays included, and nested at most MaxDepth deep.
func (t Table) Check() error { return t.check(0) }

func (t Table) check(depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("%w: nested deeper than %d", ErrMalformedTable, MaxDepth)
	}
	for b := []byte(t); len(b) > 0; {
		_, v, rest, err := cutField(b)
		if err == nil {
			err = v.check(depth)
		}
		if err != nil {
			return err
		}
		b = rest
	}
	return nil
}

func (v Value) check(depth int) error {
	switch v.Type {
	case TypeTable:
		return Table(v.Data).check(depth + 1)
	case TypeArray:
		if depth >= MaxDepth {
			return fmt.Errorf("%w: nested deeper than %d", ErrMalformedTable, MaxDepth)
		}
		for b := v.Data; len(b) > 0; {
			e, rest, err := cutValue(b)
			if err == nil {
				err = e.check(depth + 1)
			}
			if err != nil {
				return err
			}
			b = rest
		}
	}
	return nil
}

// All iterates over the fields in their order; it ends early at what is
// malformed. Names and values alias the table.
func (t Table) All() func(yield func(name []byte, v Value) bool) {
	return func(yield func([]byte, Value) bool) {
		for b := []byte(t); len(b) > 0; {
			name, v, rest, err := cutField(b)
			if err != nil || !yield(name, v) {
				return
			}
			b = rest
		}
	}
}

// Lookup returns the first field of this name.
func (t Table) Lookup(name string) (Value, bool) { return lookup(t, name) }

func (t Table) lookup(name []byte) (Value, bool) { return lookup(t, name) }

func lookup[N ~string | ~[]byte](t Table, name N) (Value, bool) {
	for b := []byte(t); len(b) > 0; {
		n, v, rest, err := cutField(b)
		if err != nil {
			break
		}
		if string(n) == string(name) {
			return v, true
		}
		b = rest
	}
	return Value{}, false
}

// Text returns the value of a field of type text or bytes, "" if there is none.
func (t Table) Text(name string) string {
	if v, ok := t.Lookup(name); ok && v.isText() {
		return string(v.Data)
	}
	return ""
}

func (v Value) isText() bool { return v.Type == TypeText || v.Type == TypeBytes }

// Text returns the bytes of a text or byte value as a string.
func (v Value) Text() (string, bool) { return string(v.Data), v.isText() }

// Integer returns the value of any integer type, timestamps included (in
// seconds).
func (v Value) Integer() (int64, bool) {
	switch v.Type {
	case TypeInt8:
		return int64(int8(v.Data[0])), true
	case TypeUint8:
		return int64(v.Data[0]), true
	case TypeInt16:
		return int64(int16(binary.BigEndian.Uint16(v.Data))), true
	case TypeUint16:
		return int64(binary.BigEndian.Uint16(v.Data)), true
	case TypeInt32:
		return int64(int32(binary.BigEndian.Uint32(v.Data))), true
	case TypeUint32:
		return int64(binary.BigEndian.Uint32(v.Data)), true
	case TypeInt64, TypeInt64Old, TypeTimestamp:
		return int64(binary.BigEndian.Uint64(v.Data)), true
	}
	return 0, false
}

// Bool returns the value of a boolean.
func (v Value) Bool() (value, ok bool) {
	return v.Type == TypeBool && v.Data[0] != 0, v.Type == TypeBool
}

// Elements iterates over the values of an array; it ends early at what is
// malformed.
func (v Value) Elements() func(yield func(Value) bool) {
	return func(yield func(Value) bool) {
		for b := v.Data; v.Type == TypeArray && len(b) > 0; {
			e, rest, err := cutValue(b)
			if err != nil || !yield(e) {
				return
			}
			b = rest
		}
	}
}

// Float returns the value of any number.
func (v Value) Float() (float64, bool) {
	switch v.Type {
	case TypeFloat:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(v.Data))), true
	case TypeDouble:
		return math.Float64frombits(binary.BigEndian.Uint64(v.Data)), true
	}
	n, ok := v.Integer()
	return float64(n), ok
}

// Equal compares as RabbitMQ's headers exchange does: by value, not by type.
// Numbers equal each other whatever their widths, text equals bytes; what has
// parts must be the same byte for byte.
func (v Value) Equal(o Value) bool {
	if a, ok := v.Integer(); ok {
		if b, ok := o.Integer(); ok {
			return a == b
		}
	}
	if a, ok := v.Float(); ok {
		b, ok := o.Float()
		return ok && a == b
	}
	if v.isText() || o.isText() {
		return v.isText() && o.isText() && bytes.Equal(v.Data, o.Data)
	}
	if v.Type == TypeBool || o.Type == TypeBool {
		return v.Type == o.Type && (v.Data[0] != 0) == (o.Data[0] != 0)
	}
	return v.Type == o.Type && bytes.Equal(v.Data, o.Data)
}

// AppendText appends a field of type text. A name longer than 255 bytes is cut.
func AppendText(dst []byte, name, value string) []byte {
	dst = append(appendName(dst, name), TypeText)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(value)))
	return append(dst, value...)
}

// AppendInteger appends a field of type 64 bit integer. A name longer than 255
// bytes is cut.
func AppendInteger(dst []byte, name string, value int64) []byte {
	dst = append(appendName(dst, name), TypeInt64)
	return binary.BigEndian.AppendUint64(dst, uint64(value))
}

func appendName(dst []byte, name string) []byte {
	name = name[:min(len(name), math.MaxUint8)]
	return append(append(dst, byte(len(name))), name...)
}
