package broker

import (
	"bytes"
	"testing"

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
