package recordfmt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/polylog-mq/polylog/internal/record"
)

// line is a record as one JSON object. Bytes that are not text have a name of
// their own, so that everything survives: {"key_base64": "//4="}.
type line struct {
	Topic     string        `json:"topic,omitempty"`
	Partition *int32        `json:"partition,omitempty"`
	Offset    *int64        `json:"offset,omitempty"`
	Timestamp *int64        `json:"timestamp,omitempty"`
	Key       *string       `json:"key,omitempty"`
	KeyBytes  []byte        `json:"key_base64,omitempty"`
	Value     *string       `json:"value"`
	ValBytes  []byte        `json:"value_base64,omitempty"`
	Headers   []headerField `json:"headers,omitempty"`
}

type headerField struct {
	Name     string  `json:"name"`
	Value    *string `json:"value"`
	ValBytes []byte  `json:"value_base64,omitempty"`
}

// split says how bytes are written: as text, as base64, or, when nil, not at
// all.
func split(b []byte) (text *string, raw []byte) {
	switch {
	case b == nil:
		return nil, nil
	case utf8.Valid(b):
		s := string(b)
		return &s, nil
	}
	return nil, b
}

// join is the opposite of split.
func join(text *string, raw []byte) []byte {
	if text != nil {
		return []byte(*text)
	}
	return raw
}

// AppendJSON appends the record as one line of JSON.
func AppendJSON(dst []byte, r *Record) ([]byte, error) {
	l := line{
		Topic: r.Topic, Partition: &r.Partition, Offset: (*int64)(&r.Offset), Timestamp: &r.Timestamp,
	}
	l.Key, l.KeyBytes = split(r.Key)
	l.Value, l.ValBytes = split(r.Value)
	for name, value := range r.Headers.All() {
		h := headerField{Name: string(name)}
		h.Value, h.ValBytes = split(value)
		l.Headers = append(l.Headers, h)
	}
	out := bytes.NewBuffer(dst)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&l); err != nil {
		return dst, fmt.Errorf("writing a record as JSON: %w", err)
	}
	return out.Bytes(), nil
}

// NewJSONSource returns a source that reads JSON objects as AppendJSON writes
// them. Topic, offset and partition are read but up to the caller; all fields
// may be missing.
func NewJSONSource(in io.Reader) Source {
	dec := json.NewDecoder(in)
	dec.DisallowUnknownFields()
	return &jsonSource{dec: dec}
}

type jsonSource struct {
	dec   *json.Decoder
	count int
}

func (s *jsonSource) Next(r *Record) error {
	var l line
	s.count++
	if err := s.dec.Decode(&l); errors.Is(err, io.EOF) {
		return io.EOF
	} else if err != nil {
		return fmt.Errorf("record %d: %w", s.count, err)
	}
	*r = Record{Topic: l.Topic, Partition: Unset, Record: record.Record{
		Timestamp: record.NoTimestamp, Key: join(l.Key, l.KeyBytes), Value: join(l.Value, l.ValBytes),
	}}
	if l.Partition != nil {
		r.Partition = *l.Partition
	}
	if l.Timestamp != nil {
		r.Timestamp = *l.Timestamp
	}
	if l.Offset != nil {
		r.Offset = record.Offset(*l.Offset)
	}
	for _, h := range l.Headers {
		r.Headers.Add(h.Name, join(h.Value, h.ValBytes))
	}
	return nil
}
