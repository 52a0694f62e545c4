// Package recordfmt turns records into text and text into records: percent
// formats like those of kcat and rpk ("%k\t%v\n"), and JSON lines that survive
// the round trip byte for byte.
//
// # Percent formats
//
//	%t topic    %p partition   %o offset     %e leader epoch
//	%k key      %v, %s value   %d, %T timestamp in milliseconds
//	%K key length   %V, %S value length (-1: null)
//	%h{...} headers: the braces hold a format of %k and %v, applied to each
//	%% a percent sign   \n \r \t \\ \0 \xFF as in C
//
// A key or value takes {hex} or {base64}: %v{base64}. A timestamp takes
// {rfc3339} or {go[2006-01-02 15:04:05]} (in UTC). To read, a format may hold
// %k, %v, %p, %d and %h, each followed by the text that ends it.
package recordfmt

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/polylog-mq/polylog/internal/record"
)

// Record is a record with its place.
type Record struct {
	record.Record
	Topic     string
	Partition int32
	Epoch     record.Epoch
}

// part is one piece of a format: a literal, or a field.
type part struct {
	literal string
	field   byte   // 'k', 'v', ...; 0 for a literal
	mod     string // what stood in braces
	inner   []part // of %h
}

// Format is a parsed percent format.
type Format struct{ parts []part }

// fields maps each escape to its canonical letter.
var fields = map[byte]byte{
	't': 't', 'p': 'p', 'o': 'o', 'e': 'e', 'k': 'k', 'v': 'v', 's': 'v', 'd': 'd', 'T': 'd',
	'K': 'K', 'V': 'V', 'S': 'V', 'h': 'h',
}

// Parse reads a format for output.
func Parse(text string) (*Format, error) {
	parts, err := parseParts(text, "tpoekvdKVh")
	if err != nil {
		return nil, fmt.Errorf("format %q: %w", text, err)
	}
	return &Format{parts}, nil
}

// parseParts cuts a format in parts; only the fields in allowed may occur.
func parseParts(text, allowed string) ([]part, error) {
	var parts []part
	var literal []byte
	flush := func() {
		if len(literal) > 0 {
			parts = append(parts, part{literal: string(literal)})
			literal = nil
		}
	}
	for i := 0; i < len(text); {
		switch {
		case text[i] == '\\':
			b, n, err := unescape(text[i:])
			if err != nil {
				return nil, err
			}
			literal = append(literal, b)
			i += n
		case text[i] == '%' && i+1 < len(text) && text[i+1] == '%':
			literal = append(literal, '%')
			i += 2
		case text[i] == '%':
			flush()
			p, n, err := parseField(text[i:], allowed)
			if err != nil {
				return nil, err
			}
			parts = append(parts, p)
			i += n
		default:
			literal = append(literal, text[i])
			i++
		}
	}
	flush()
	return parts, nil
}

// unescape reads the backslash escape at the beginning of text and returns
// the byte it stands for and its length.
func unescape(text string) (b byte, n int, err error) {
	if len(text) < 2 {
		return 0, 0, fmt.Errorf("a backslash at the end")
	}
	switch text[1] {
	case 'n':
		return '\n', 2, nil
	case 'r':
		return '\r', 2, nil
	case 't':
		return '\t', 2, nil
	case '0':
		return 0, 2, nil
	case '\\':
		return '\\', 2, nil
	case 'x':
		if len(text) >= 4 {
			if v, err := strconv.ParseUint(text[2:4], 16, 8); err == nil {
				return byte(v), 4, nil
			}
		}
		return 0, 0, fmt.Errorf(`\x needs two hexadecimal digits`)
	}
	return 0, 0, fmt.Errorf(`\%c is no escape`, text[1])
}

// parseField reads the field at the beginning of text, which starts with a
// percent sign.
func parseField(text, allowed string) (p part, n int, err error) {
	if len(text) < 2 {
		return p, 0, fmt.Errorf("a percent sign at the end; write %%%%")
	}
	field, ok := fields[text[1]]
	if !ok || !strings.ContainsRune(allowed, rune(field)) {
		return p, 0, fmt.Errorf("%%%c is not known here", text[1])
	}
	p, n = part{field: field}, 2
	if len(text) > 2 && text[2] == '{' {
		end := closing(text[2:])
		if end < 0 {
			return p, 0, fmt.Errorf("%%%c{ has no closing brace", text[1])
		}
		p.mod, n = text[3:2+end], 3+end
	}
	switch {
	case field == 'h':
		if p.inner, err = parseParts(p.mod, "kv"); err != nil {
			return p, 0, err
		}
		if len(p.inner) == 0 {
			return p, 0, fmt.Errorf("%%h needs a format for each header, such as %%h{%%k=%%v }")
		}
	case p.mod == "":
	case (field == 'k' || field == 'v') && (p.mod == "hex" || p.mod == "base64"):
	case field == 'd' && (p.mod == "rfc3339" || strings.HasPrefix(p.mod, "go[") && strings.HasSuffix(p.mod, "]")):
	default:
		return p, 0, fmt.Errorf("%%%c does not take {%s}", text[1], p.mod)
	}
	return p, n, nil
}

// closing returns the place of the brace that closes the one text begins with,
// -1 if there is none.
func closing(text string) int {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// Append appends the record's text to dst.
func (f *Format) Append(dst []byte, r *Record) []byte {
	for i := range f.parts {
		dst = f.parts[i].append(dst, r)
	}
	return dst
}

func (p *part) append(dst []byte, r *Record) []byte {
	switch p.field {
	case 't':
		return append(dst, r.Topic...)
	case 'p':
		return strconv.AppendInt(dst, int64(r.Partition), 10)
	case 'o':
		return strconv.AppendInt(dst, int64(r.Offset), 10)
	case 'e':
		return strconv.AppendInt(dst, int64(r.Epoch), 10)
	case 'k':
		return p.bytes(dst, r.Key)
	case 'v':
		return p.bytes(dst, r.Value)
	case 'K':
		return strconv.AppendInt(dst, length(r.Key), 10)
	case 'V':
		return strconv.AppendInt(dst, length(r.Value), 10)
	case 'd':
		return p.time(dst, r.Timestamp)
	case 'h':
		for name, value := range r.Headers.All() {
			one := Record{Record: record.Record{Key: name, Value: value}}
			for i := range p.inner {
				dst = p.inner[i].append(dst, &one)
			}
		}
		return dst
	}
	return append(dst, p.literal...)
}

func length(b []byte) int64 {
	if b == nil {
		return -1
	}
	return int64(len(b))
}

func (p *part) bytes(dst, b []byte) []byte {
	switch p.mod {
	case "hex":
		return hex.AppendEncode(dst, b)
	case "base64":
		return base64.StdEncoding.AppendEncode(dst, b)
	}
	return append(dst, b...)
}

func (p *part) time(dst []byte, ms int64) []byte {
	switch p.mod {
	case "":
		return strconv.AppendInt(dst, ms, 10)
	case "rfc3339":
		return time.UnixMilli(ms).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
	}
	return time.UnixMilli(ms).UTC().AppendFormat(dst, p.mod[len("go["):len(p.mod)-1])
}
