package recordfmt

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/polylog-mq/polylog/internal/record"
)

// MaxRecord is the longest field that is read from text, in bytes.
const MaxRecord = 64 << 20

// Unset is the partition and the timestamp of a record whose text says none.
const Unset = -1

// Source reads records one by one.
type Source interface {
	// Next reads the next record into r, whose bytes are then good until the
	// following call; io.EOF when there is none.
	Next(r *Record) error
}

// NewSource returns a source that reads records in a percent format from in.
// A format that does not say what ends a record means the end of the line.
func NewSource(in io.Reader, format string) (Source, error) {
	parts, err := parseParts(format, "kvpdh")
	if err != nil {
		return nil, fmt.Errorf("format %q: %w", format, err)
	}
	if len(parts) == 0 || parts[len(parts)-1].field != 0 {
		parts = append(parts, part{literal: "\n"})
	}
	for i := range parts[:len(parts)-1] {
		if parts[i].field == 'h' {
			if err := checkHeaderFormat(parts[i].inner); err != nil {
				return nil, fmt.Errorf("format %q: %w", format, err)
			}
		}
		if parts[i].field != 0 && parts[i+1].field != 0 {
			return nil, fmt.Errorf("format %q: two fields without text between them cannot be told apart", format)
		}
	}
	return &formatSource{in: bufio.NewReaderSize(in, 64<<10), parts: parts}, nil
}

// checkHeaderFormat wants %k, a separator, %v and an end.
func checkHeaderFormat(inner []part) error {
	if len(inner) == 4 && inner[0].field == 'k' && inner[1].field == 0 && inner[2].field == 'v' && inner[3].field == 0 {
		return nil
	}
	return errors.New("to read headers, write %h{%k=%v,}: key, separator, value, end")
}

// formatSource reads fields, each up to the literal that follows it.
type formatSource struct {
	in    *bufio.Reader
	parts []part
	count int
	bufs  [][]byte // one per part
}

func (s *formatSource) Next(r *Record) error {
	*r = Record{Partition: Unset, Record: record.Record{Timestamp: record.NoTimestamp}}
	s.count++
	if s.bufs == nil {
		s.bufs = make([][]byte, len(s.parts))
	}
	if _, err := s.in.Peek(1); err != nil {
		return err
	}
	for i := 0; i < len(s.parts); i++ {
		p := &s.parts[i]
		if p.field == 0 {
			if err := s.expect(p.literal); err != nil {
				return fmt.Errorf("record %d: %w", s.count, err)
			}
			continue
		}
		last := i+1 == len(s.parts)-1
		text, err := s.until(s.bufs[i][:0], s.parts[i+1].literal, last)
		s.bufs[i] = text
		if err == nil {
			err = p.take(r, text)
		}
		if err != nil {
			return fmt.Errorf("record %d: %w", s.count, err)
		}
		i++ // the literal was read along
	}
	return nil
}

// expect reads a literal that must come next.
func (s *formatSource) expect(literal string) error {
	got := make([]byte, len(literal))
	n, _ := io.ReadFull(s.in, got)
	if string(got[:n]) != literal {
		return fmt.Errorf("found %q where the format has %q", got[:n], literal)
	}
	return nil
}

// until appends what comes before the literal, and reads the literal away. The
// end of the input ends the last field too.
func (s *formatSource) until(dst []byte, literal string, last bool) ([]byte, error) {
	end := literal[len(literal)-1]
	for {
		piece, err := s.in.ReadSlice(end)
		dst = append(dst, piece...)
		if len(dst) > MaxRecord {
			return dst, fmt.Errorf("a field of more than %d bytes", MaxRecord)
		}
		if err == nil && bytes.HasSuffix(dst, []byte(literal)) {
			return dst[:len(dst)-len(literal)], nil
		}
		switch {
		case err == nil || errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && last:
			return dst, nil
		case errors.Is(err, io.EOF):
			return dst, fmt.Errorf("no %q before the end of the input", literal)
		default:
			return dst, err
		}
	}
}

// take puts a field's text into the record.
func (p *part) take(r *Record, text []byte) (err error) {
	switch p.field {
	case 'k':
		r.Key, err = p.decode(text)
	case 'v':
		r.Value, err = p.decode(text)
	case 'p':
		var n int64
		if n, err = strconv.ParseInt(string(text), 10, 32); err != nil {
			return fmt.Errorf("%q is not a partition", text)
		}
		r.Partition = int32(n)
	case 'd':
		if r.Timestamp, err = strconv.ParseInt(string(text), 10, 64); err != nil {
			return fmt.Errorf("%q is not a timestamp in milliseconds", text)
		}
	case 'h':
		return p.headers(r, string(text))
	}
	return err
}

func (p *part) headers(r *Record, text string) error {
	separator, end := p.inner[1].literal, p.inner[3].literal
	for text != "" {
		var one string
		one, text, _ = strings.Cut(text, end)
		name, value, ok := strings.Cut(one, separator)
		if !ok {
			return fmt.Errorf("header %q has no %q", one, separator)
		}
		decoded, err := p.inner[2].decode([]byte(value))
		if err != nil {
			return err
		}
		r.Headers.Add(name, decoded)
	}
	return nil
}

// decode undoes {hex} and {base64}, in place.
func (p *part) decode(text []byte) ([]byte, error) {
	var n int
	var err error
	switch p.mod {
	case "hex":
		n, err = hex.Decode(text, text)
	case "base64":
		n, err = base64.StdEncoding.Decode(text, bytes.Clone(text))
	default:
		return text, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%q is not %s: %w", text, p.mod, err)
	}
	return text[:n], nil
}
