package oracle

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// quote writes a string as a dialogue does: bare if it is a plain word.
func quote(s string) string {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"{}[],:=|`, c) >= 0 {
			return strconv.QuoteToASCII(s)
		}
	}
	return s
}

func unquote(s string) (string, error) {
	if !strings.HasPrefix(s, `"`) {
		return s, nil
	}
	return strconv.Unquote(s)
}

// table reads a table and writes it with its names in order, since servers
// differ in theirs and no client minds.
func (r *reader) table() string {
	in := &reader{b: r.take(int(r.u32()))}
	var entries []string
	for len(in.b) > 0 && !in.bad {
		name := string(in.take(int(in.u8())))
		entries = append(entries, quote(name)+":"+in.value())
	}
	r.bad = r.bad || in.bad
	slices.Sort(entries)
	return "{" + strings.Join(entries, ",") + "}"
}

// value reads a tagged value and writes it as TAG:TEXT.
func (r *reader) value() string {
	tag := r.u8()
	text := ""
	switch tag {
	case 't':
		text = strconv.FormatBool(r.u8() != 0)
	case 'b':
		text = strconv.Itoa(int(int8(r.u8())))
	case 'B':
		text = strconv.Itoa(int(r.u8()))
	case 's':
		text = strconv.Itoa(int(int16(r.u16())))
	case 'u':
		text = strconv.Itoa(int(r.u16()))
	case 'I':
		text = strconv.Itoa(int(int32(r.u32())))
	case 'i':
		text = strconv.FormatUint(uint64(r.u32()), 10)
	case 'l', 'L':
		text = strconv.FormatInt(int64(r.u64()), 10)
	case 'T':
		text = strconv.FormatUint(r.u64(), 10)
	case 'f':
		text = strconv.FormatFloat(float64(math.Float32frombits(r.u32())), 'g', -1, 32)
	case 'd':
		text = strconv.FormatFloat(math.Float64frombits(r.u64()), 'g', -1, 64)
	case 'D':
		scale := r.u8()
		text = fmt.Sprintf("%d/%d", int32(r.u32()), scale)
	case 'S', 'x':
		text = quote(string(r.take(int(r.u32()))))
	case 'F':
		text = r.table()
	case 'A':
		in := &reader{b: r.take(int(r.u32()))}
		var items []string
		for len(in.b) > 0 && !in.bad {
			items = append(items, in.value())
		}
		r.bad = r.bad || in.bad
		text = "[" + strings.Join(items, ",") + "]"
	case 'V':
	default:
		r.bad = true
	}
	return string(tag) + ":" + text
}

// appendTable appends a table that is written as {name:TAG:TEXT,...}, in the
// order in which it is written.
func appendTable(b []byte, text string) ([]byte, error) {
	entries, err := split(text, '{', '}')
	if err != nil {
		return nil, err
	}
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	for _, e := range entries {
		name, rest := cutName(e)
		if name, err = unquote(name); err != nil {
			return nil, err
		}
		b = append(append(b, byte(len(name))), name...)
		if b, err = appendValue(b, rest); err != nil {
			return nil, err
		}
	}
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b, nil
}

// cutName splits name:rest, where the name may be quoted.
func cutName(entry string) (name, rest string) {
	if q, err := strconv.QuotedPrefix(entry); err == nil {
		return q, strings.TrimPrefix(entry[len(q):], ":")
	}
	name, rest, _ = strings.Cut(entry, ":")
	return name, rest
}

func appendValue(b []byte, text string) ([]byte, error) {
	if len(text) < 2 || text[1] != ':' {
		return nil, fmt.Errorf("%q is not TAG:VALUE", text)
	}
	tag, rest := text[0], text[2:]
	b = append(b, tag)
	switch tag {
	case 'V':
		return b, nil
	case 't':
		if rest == "true" {
			return append(b, 1), nil
		}
		return append(b, 0), nil
	case 'S', 'x':
		s, err := unquote(rest)
		return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...), err
	case 'F':
		return appendTable(b, rest)
	case 'A':
		items, err := split(rest, '[', ']')
		if err != nil {
			return nil, err
		}
		at := len(b)
		b = append(b, 0, 0, 0, 0)
		for _, item := range items {
			if b, err = appendValue(b, item); err != nil {
				return nil, err
			}
		}
		binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
		return b, nil
	}
	return appendNumber(b, tag, rest)
}

func appendNumber(b []byte, tag byte, text string) ([]byte, error) {
	switch tag {
	case 'f':
		f, err := strconv.ParseFloat(text, 32)
		return binary.BigEndian.AppendUint32(b, math.Float32bits(float32(f))), err
	case 'd':
		f, err := strconv.ParseFloat(text, 64)
		return binary.BigEndian.AppendUint64(b, math.Float64bits(f)), err
	case 'D':
		var n, scale int
		_, err := fmt.Sscanf(text, "%d/%d", &n, &scale)
		return binary.BigEndian.AppendUint32(append(b, byte(scale)), uint32(int32(n))), err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch tag {
	case 'b', 'B':
		return append(b, byte(n)), err
	case 's', 'u':
		return binary.BigEndian.AppendUint16(b, uint16(n)), err
	case 'I', 'i':
		return binary.BigEndian.AppendUint32(b, uint32(n)), err
	case 'l', 'L', 'T':
		return binary.BigEndian.AppendUint64(b, uint64(n)), err
	}
	return b, nil // an unknown tag, to see what the server says
}

// split takes {a,b} or [a,b] apart at its own commas.
func split(text string, begin, end byte) (items []string, err error) {
	if len(text) < 2 || text[0] != begin || text[len(text)-1] != end {
		return nil, fmt.Errorf("%q is not %c...%c", text, begin, end)
	}
	return splitAt(text[1:len(text)-1], ','), nil
}

// splitAt splits at separators outside of quotes and brackets.
func splitAt(text string, sep byte) (parts []string) {
	depth, from := 0, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			if q, err := strconv.QuotedPrefix(text[i:]); err == nil {
				i += len(q) - 1
			}
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == sep && depth == 0:
			parts = append(parts, text[from:i])
			from = i + 1
		}
	}
	if last := text[from:]; last != "" || len(parts) > 0 {
		parts = append(parts, last)
	}
	return parts
}
