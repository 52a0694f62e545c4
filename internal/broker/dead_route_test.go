package broker

import (
	"bytes"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/route"
)

// properties encodes AMQP's properties with a content type, if it is not empty,
// and a headers table.
func properties(contentType string, headers Table) []byte {
	p := []byte{0x20, 0}
	if contentType != "" {
		p[0] |= 0x80
		p = append(append(p, byte(len(contentType))), contentType...)
	}
	return append(append(p, 0, 0, byte(len(headers)>>8), byte(len(headers))), headers...)
}

// FuzzTableIn: whatever a header of a record claims to be AMQP's properties, what
// is found in it is a table.
func FuzzTableIn(f *testing.F) {
	headers := Table(route.AppendText(nil, "colour", "red"))
	for _, contentType := range []string{"", "text/plain", string(make([]byte, 255))} {
		p := properties(contentType, headers)
		if got := tableIn(p); !bytes.Equal(got, headers) {
			f.Fatalf("%q in %q", got, p)
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if got := tableIn(p); got.Check() != nil {
			t.Fatalf("%q in %q", got, p)
		}
	})
}

// TestLevelOf: the priority is found behind whatever comes before it; without one
// the level of the queue stands.
func TestLevelOf(t *testing.T) {
	headers := Table(route.AppendText(nil, "priority", "no"))
	mode := properties("text/plain", headers)
	mode[0] |= 0x18
	for _, c := range []struct {
		properties []byte
		want       uint8
	}{
		{nil, 2},
		{properties("text/plain", headers), 2},
		{append(mode, 2, 7), 7},
		{[]byte{0x08, 0, 9}, 9},
		{[]byte{0x10, 0, 1}, 2},
		{[]byte{0x08, 0}, 2},
		{[]byte{0x80, 0, 9, 'x'}, 2},
	} {
		var r record.Record
		if c.properties != nil {
			r.Headers.Add(HeaderProperties, c.properties)
		}
		if got := levelOf(&r, 2); got != c.want {
			t.Errorf("%x: level %d, want %d", c.properties, got, c.want)
		}
	}
}
