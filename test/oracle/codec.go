package oracle

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// field is a field of a method, or a property.
type field struct {
	name string
	kind byte
}

// method is one row of methods.txt.
type method struct {
	class, id uint16
	name      string
	fields    []field
}

//go:embed methods.txt
var methodsText string

// spec holds the methods by name and by number, and the properties.
type spec struct {
	byName     map[string]*method
	byID       map[[2]uint16]*method
	properties []field
}

var amqp = parseSpec(methodsText)

func parseSpec(text string) *spec {
	s := &spec{byName: map[string]*method{}, byID: map[[2]uint16]*method{}}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if words[0] == "properties" {
			s.properties = parseFields(words[1:])
			continue
		}
		var m method
		if _, err := fmt.Sscanf(words[0], "%d.%d", &m.class, &m.id); err != nil {
			panic("methods.txt: " + line)
		}
		m.name, m.fields = words[1], parseFields(words[2:])
		s.byName[m.name], s.byID[[2]uint16{m.class, m.id}] = &m, &m
	}
	return s
}

func parseFields(words []string) (fields []field) {
	for _, w := range words {
		name, kind, _ := strings.Cut(w, ":")
		fields = append(fields, field{name, kind[0]})
	}
	return fields
}

// errShort is a payload that ends before its fields do.
var errShort = errors.New("the payload is too short")

// reader takes fields from a payload.
type reader struct {
	b    []byte
	bits int // bits of the last octet that are taken
	bad  bool
}

func (r *reader) take(n int) []byte {
	r.bits = 0
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, max(0, min(n, 8)))
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

func (r *reader) u8() uint8   { return r.take(1)[0] }
func (r *reader) u16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) u32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// text reads a field of a method in its written form.
func (r *reader) text(kind byte, octet *byte) string {
	switch kind {
	case 'o':
		return strconv.Itoa(int(r.u8()))
	case 's':
		return strconv.Itoa(int(r.u16()))
	case 'l':
		return strconv.FormatUint(uint64(r.u32()), 10)
	case 'L':
		return strconv.FormatUint(r.u64(), 10)
	case 'c':
		return quote(string(r.take(int(r.u8()))))
	case 'S':
		return quote(string(r.take(int(r.u32()))))
	case 'F':
		return r.table()
	case 'b':
		if r.bits == 0 || r.bits == 8 {
			*octet = r.u8()
		}
		bit := *octet >> r.bits & 1
		r.bits++
		return strconv.Itoa(int(bit))
	}
	panic("a field of kind " + string(kind))
}

// parseMethod reads a method frame's payload.
func parseMethod(payload []byte) (m *method, values []string, err error) {
	r := &reader{b: payload}
	class, id := r.u16(), r.u16()
	m = amqp.byID[[2]uint16{class, id}]
	if m == nil {
		return nil, nil, fmt.Errorf("there is no method %d.%d", class, id)
	}
	var octet byte
	for _, f := range m.fields {
		values = append(values, r.text(f.kind, &octet))
	}
	if r.bad || len(r.b) > 0 {
		return nil, nil, fmt.Errorf("%s: %w, or too long", m.name, errShort)
	}
	return m, values, nil
}

// appendField appends a field of a method from its written form.
func appendField(b []byte, kind byte, text string, bits *int) ([]byte, error) {
	number := func(size int) (uint64, error) { return strconv.ParseUint(text, 10, size) }
	if kind == 'b' {
		if *bits%8 == 0 {
			b = append(b, 0)
		}
		if text == "1" {
			b[len(b)-1] |= 1 << (*bits % 8)
		}
		*bits++
		return b, nil
	}
	*bits = 0
	switch kind {
	case 'o':
		n, err := number(8)
		return append(b, byte(n)), err
	case 's':
		n, err := number(16)
		return binary.BigEndian.AppendUint16(b, uint16(n)), err
	case 'l':
		n, err := number(32)
		return binary.BigEndian.AppendUint32(b, uint32(n)), err
	case 'L':
		n, err := number(64)
		return binary.BigEndian.AppendUint64(b, n), err
	case 'c':
		s, err := unquote(text)
		return append(append(b, byte(len(s))), s...), err
	case 'S':
		s, err := unquote(text)
		return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...), err
	case 'F':
		return appendTable(b, text)
	}
	panic("a field of kind " + string(kind))
}

// zero is the written form of a field that a dialogue leaves out.
func zero(kind byte) string {
	switch kind {
	case 'c', 'S':
		return ""
	case 'F':
		return "{}"
	}
	return "0"
}

// appendMethod appends a method's payload; fields that are missing are zero.
func appendMethod(b []byte, m *method, values map[string]string) ([]byte, error) {
	b = binary.BigEndian.AppendUint16(b, m.class)
	b = binary.BigEndian.AppendUint16(b, m.id)
	bits := 0
	for _, f := range m.fields {
		text, ok := values[f.name]
		if !ok {
			text = zero(f.kind)
		}
		delete(values, f.name)
		var err error
		if b, err = appendField(b, f.kind, text, &bits); err != nil {
			return nil, fmt.Errorf("%s: %s=%s: %w", m.name, f.name, text, err)
		}
	}
	for name := range values {
		return nil, fmt.Errorf("%s has no field %s", m.name, name)
	}
	return b, nil
}

// appendProperties appends a content header's payload.
func appendProperties(b []byte, size uint64, values map[string]string) ([]byte, error) {
	b = binary.BigEndian.AppendUint16(b, 60)
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint64(b, size)
	at := len(b)
	b = append(b, 0, 0)
	var flags uint16
	for i, f := range amqp.properties {
		text, ok := values[f.name]
		if !ok {
			continue
		}
		delete(values, f.name)
		flags |= 1 << (15 - i)
		var err error
		bits := 0
		if b, err = appendField(b, f.kind, text, &bits); err != nil {
			return nil, fmt.Errorf("property %s=%s: %w", f.name, text, err)
		}
	}
	for name := range values {
		return nil, fmt.Errorf("there is no property %s", name)
	}
	binary.BigEndian.PutUint16(b[at:], flags)
	return b, nil
}

// parseProperties reads a content header's payload: the body's size and the
// properties as they are written.
func parseProperties(payload []byte) (size uint64, text string, err error) {
	r := &reader{b: payload}
	r.u16()
	r.u16()
	size = r.u64()
	flags := r.u16()
	var octet byte
	var words []string
	for i, f := range amqp.properties {
		if flags&(1<<(15-i)) != 0 {
			words = append(words, f.name+"="+r.text(f.kind, &octet))
		}
	}
	if r.bad || len(r.b) > 0 {
		return 0, "", fmt.Errorf("content header: %w, or too long", errShort)
	}
	return size, strings.Join(words, " "), nil
}
