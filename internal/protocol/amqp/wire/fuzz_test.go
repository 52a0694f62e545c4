package wire

import (
	"bytes"
	"testing"
)

// FuzzFrames: whatever comes, the parser stays within it, and what it accepts
// it writes back byte for byte.
func FuzzFrames(f *testing.F) {
	f.Add(AppendHeartbeat(nil))
	f.Add([]byte(ProtocolHeader))
	f.Add(AppendMethod(nil, 1, &QueueDeclare{Queue: []byte("q"), Arguments: raw}))
	p := Properties{Flags: HasHeaders | HasPriority, Headers: raw}
	f.Add(AppendBody(AppendContentHeader(nil, 1, 5, &p), 1, []byte("hello"), 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		for {
			frame, n, ok, err := ParseFrame(b, MinFrameMax)
			if !ok || err != nil {
				return
			}
			if got := endFrame(append(beginFrame(nil, frame.Type, frame.Channel), frame.Payload...), 0); !bytes.Equal(got, b[:n]) {
				t.Fatalf("% x became % x", b[:n], got)
			}
			content(t, frame)
			b = b[n:]
		}
	})
}

func content(t *testing.T, f Frame) {
	switch f.Type {
	case FrameMethod:
		id, args, ok := SplitMethod(f.Payload)
		m := New(id)
		if !ok || m == nil || Parse(m, args) != nil {
			return
		}
		// Bits without a meaning are not kept, so compare after one round.
		once := AppendMethod(nil, f.Channel, m)
		again := New(id)
		if err := Parse(again, once[HeadSize+4:len(once)-1]); err != nil {
			t.Fatalf("%s does not read what it wrote: %v", id, err)
		}
		if !bytes.Equal(AppendMethod(nil, f.Channel, again), once) {
			t.Fatalf("%s: % x is not stable", id, once)
		}
	case FrameHeader:
		var h ContentHeader
		var p Properties
		if h.Parse(f.Payload) != nil || p.Parse(h.Properties) != nil {
			return
		}
		if got := p.AppendTo(nil); !bytes.Equal(got, h.Properties) && p.Flags&2 == 0 {
			t.Fatalf("properties % x became % x", h.Properties, got)
		}
	case FrameBody, FrameHeartbeat:
	}
}

// FuzzTable: a valid table can be walked, normalized and copied, and stays
// valid.
func FuzzTable(f *testing.F) {
	f.Add([]byte(raw))
	f.Add([]byte{1, 'a', 'U', 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		tab := Table(b)
		if !tab.Valid() {
			return
		}
		if got := tab.Without(nil, "\x00no such name"); !bytes.Equal(got, tab) && !bytes.Contains(b, []byte("\x00no such name")) {
			t.Fatalf("% x became % x", tab, got)
		}
		var rebuilt Table
		for k, v := range tab.All() {
			rebuilt = rebuilt.AppendValue(string(k), v)
		}
		if !bytes.Equal(rebuilt, tab) {
			t.Fatalf("% x rebuilt is % x", tab, rebuilt)
		}
		tab.Normalize()
		if !tab.Valid() {
			t.Fatalf("% x is not valid once normalized", tab)
		}
	})
}
