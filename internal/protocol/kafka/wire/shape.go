package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// shapeText is a row of the table in shapes.go.
type shapeText struct {
	key      int16
	flexible int16 // the first flexible version
	fields   string
}

type shape struct {
	flexible int16
	fields   []field
}

// field is one field of a structure, present in the versions from min to max.
type field struct {
	kind     byte
	min, max int16
	elements []field // of an array, or of a structure that may be null
}

// maxKey is the largest API key that has a place in the table.
const maxKey = 127

func lookup(key int16) *shape {
	if key < 0 || key > maxKey {
		return nil
	}
	return shapes[key]
}

// Check walks the body of a request that kmsg is to decode, without allocating:
// every string, tagged field and array element must lie within the bytes that
// are there. So decoding allocates no more than a small multiple of the frame,
// and no count makes it spin. Trailing bytes are allowed, as Kafka allows them.
func Check(key, version int16, body []byte) error {
	s := lookup(key)
	if s == nil {
		return fmt.Errorf("%w: key %d is unknown", ErrMalformed, key)
	}
	w := walker{reader{b: body}, version, version >= s.flexible}
	w.fields(s.fields)
	if w.flexible {
		w.tags()
	}
	if w.bad {
		return fmt.Errorf("%w: the body of key %d version %d, %d bytes", ErrMalformed, key, version, len(body))
	}
	return nil
}

type walker struct {
	reader
	version  int16
	flexible bool
}

func (w *walker) fields(fs []field) {
	for i := range fs {
		if f := &fs[i]; !w.bad && f.in(w.version) {
			w.field(f)
		}
	}
}

func (w *walker) field(f *field) {
	switch f.kind {
	case 's', 'S':
		if w.bytes(w.flexible, true) == nil && f.kind == 's' {
			w.fail()
		}
	case 'b', 'B':
		if w.bytes(w.flexible, false) == nil && f.kind == 'b' {
			w.fail()
		}
	case '(', '[':
		for range w.count(w.flexible) {
			w.fields(f.elements)
			if w.flexible && f.kind == '[' {
				w.tags()
			}
			if w.bad {
				return
			}
		}
	case '{':
		if w.int8() != -1 && !w.bad { // as kmsg has it; Kafka writes 1
			w.fields(f.elements)
			w.tags()
		}
	default:
		w.span(width(f.kind))
	}
}

func (f *field) in(version int16) bool { return version >= f.min && version <= f.max }

// width returns the size of a fixed-size field, 0 for the others.
func width(kind byte) int {
	switch kind {
	case '1', '2', '4', '8':
		return int(kind - '0')
	case 'u':
		return 16
	}
	return 0
}

// compile parses the table. A mistake in it is a mistake in the program.
func compile(table []shapeText) (out [maxKey + 1]*shape) {
	for _, t := range table {
		tokens := strings.Fields(t.fields)
		s := &shape{flexible: t.flexible}
		s.fields, tokens = parseFields(tokens)
		if len(tokens) > 0 || out[t.key] != nil {
			panic(fmt.Sprintf("wire: shape of key %d: %q is left", t.key, tokens))
		}
		out[t.key] = s
	}
	return out
}

// parseFields parses up to the bracket that closes an array, or to the end.
func parseFields(tokens []string) (fs []field, rest []string) {
	for len(tokens) > 0 {
		versions, kind, limited := strings.Cut(tokens[0], ":")
		tokens = tokens[1:]
		f := field{max: never}
		if limited {
			f.min, f.max = parseVersions(versions)
		} else {
			kind = versions
		}
		f.kind = kind[0]
		switch f.kind {
		case ']', ')', '}':
			return fs, tokens
		case '[', '(', '{':
			f.elements, tokens = parseFields(tokens)
		case 's', 'S', 'b', 'B':
		default:
			if width(f.kind) == 0 {
				panic("wire: shape field " + kind)
			}
		}
		fs = append(fs, f)
	}
	return fs, nil
}

// parseVersions parses "3+" and "0-9".
func parseVersions(s string) (lo, hi int16) {
	first, last, isRange := strings.Cut(strings.TrimSuffix(s, "+"), "-")
	hi = never
	if isRange {
		hi = parseVersion(last)
	}
	return parseVersion(first), hi
}

func parseVersion(s string) int16 {
	v, err := strconv.ParseInt(s, 10, 16)
	if err != nil {
		panic("wire: shape version: " + err.Error())
	}
	return int16(v)
}
