package broker

import (
	"bytes"
	"errors"
	"testing"
)

func TestBodyRoundTrip(t *testing.T) {
	data := []byte{bodyVersion}
	start := len(data)
	data = append(beginCommand(data, kindTopic), "define"...)
	endCommand(data, start)
	start = len(data)
	data = appendTargets(beginCommand(data, kindAppend), target{7, 0}, target{1 << 40, 9})
	data = append(data, "batches"...)
	endCommand(data, start)

	b, err := openBody(data)
	if err != nil {
		t.Fatal(err)
	}
	kind, payload, err := b.next()
	if err != nil || kind != kindTopic || string(payload) != "define" || !b.more() {
		t.Fatalf("first command: %d %q %v", kind, payload, err)
	}
	kind, payload, err = b.next()
	if err != nil || kind != kindAppend || b.more() {
		t.Fatalf("second command: %d %v", kind, err)
	}
	targets, f, batches, err := splitAppend(payload)
	if f != (facts{ttl: -1, bytes: -1}) {
		t.Errorf("facts out of nothing: %+v", f)
	}
	if err != nil || targets.len() != 2 || targets.at(0) != (target{7, 0}) || targets.at(1) != (target{1 << 40, 9}) {
		t.Fatalf("targets: %v %v", targets, err)
	}
	if string(batches) != "batches" || !bytes.Equal(data[b.pos-len(batches):b.pos], batches) {
		t.Fatalf("batches %q do not end where the command does", batches)
	}
}

func TestBodyRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, data := range [][]byte{nil, {0}, {bodyVersion + 1}} {
		if _, err := openBody(data); !errors.Is(err, errBody) {
			t.Errorf("%v: %v", data, err)
		}
	}
	for _, data := range [][]byte{{bodyVersion, 1}, {bodyVersion, 1, 1, 0, 0, 0}, {bodyVersion, 1, 0xff, 0xff, 0xff, 0xff, 0}} {
		b, err := openBody(data)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.next(); !errors.Is(err, errBody) {
			t.Errorf("%v: %v", data, err)
		}
	}
	for _, payload := range [][]byte{nil, {0, 0, 0}, {1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {2, 0, 0, 1}, {4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {0, 1, 0, 0}, {0, 0xff, 0xff}} {
		if _, _, _, err := splitAppend(payload); !errors.Is(err, errBody) {
			t.Errorf("append %v: %v", payload, err)
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add([]byte{bodyVersion, 1, 14, 0, 0, 0, 0, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 'x', 'y', 2, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := openBody(data)
		if err != nil {
			return
		}
		again := data[:1:1]
		for b.more() {
			kind, payload, err := b.next()
			if err != nil {
				return
			}
			start := len(again)
			again = beginCommand(again, kind)
			if targets, f, batches, err := splitAppend(payload); err == nil && kind == kindAppend && targets.len() > 0 {
				var list []target
				for i := range targets.len() {
					list = append(list, targets.at(i))
				}
				if payload[0]&appendHasFacts != 0 {
					begin := len(again)
					again = appendPublish(again, list, &f)
					if got := again[begin:]; len(got)+len(batches) != len(payload) {
						return // the facts can be written in more than one way
					}
				} else {
					again = appendTargets(again, list...)
				}
				again = append(again, batches...)
			} else {
				again = append(again, payload...)
			}
			endCommand(again, start)
		}
		if !bytes.Equal(again, data) {
			t.Fatalf("%x was read as %x", data, again)
		}
	})
}
