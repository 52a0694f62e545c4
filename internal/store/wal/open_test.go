package wal

import (
	"errors"
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/internal/crashfs"
)

// TestEnd: a lane that ends before what Options.End says is damaged, one that
// ends there or later is not.
func TestEnd(t *testing.T) {
	fs := crashfs.New()
	o := testOptions(fs, 1)
	l, _ := open(t, o)
	write(t, l, entry(1, 1, "first"))
	early := l.End()
	write(t, l, entry(1, 2, "second"))
	end := l.End()
	l.Close()
	for _, c := range []struct {
		end    Position
		reason string
	}{
		{early, ""},
		{end, ""},
		{Position{File: end.File, Offset: end.Offset + 65}, "it was durable up to"}, // the mark takes 64
		{Position{File: end.File + 1}, "the file is missing"},
	} {
		o := testOptions(fs.Kill(), 2)
		o.End = c.end
		l, got, err := tryOpen(o)
		var damage *CorruptionError
		switch {
		case c.reason == "" && (err != nil || len(got) != 2 || l.End().Offset < end.Offset):
			t.Errorf("with end %v: %d frames, %v", c.end, len(got), err)
		case c.reason != "" && (!errors.As(err, &damage) || !strings.Contains(damage.Reason, c.reason)):
			t.Errorf("with end %v: %v", c.end, err)
		}
	}
	o = testOptions(crashfs.New(), 2)
	o.End = end
	if _, _, err := tryOpen(o); err == nil || !strings.Contains(err.Error(), "the file is missing") {
		t.Errorf("an empty folder: %v", err)
	}
}

// TestAccept: when the caller does not accept what was read, nothing changes.
func TestAccept(t *testing.T) {
	fs := crashfs.New()
	l, _ := open(t, testOptions(fs, 1))
	write(t, l, entry(1, 1, "first"))
	l.Append(&Batch{Frames: []Frame{entry(1, 2, "torn")}, Sync: true, Done: func([]Position, error) {}})
	l.Flush()
	at := int(l.End().Offset) - 1
	l.Close()
	flip(fs, path(1), at)
	before := data(t, fs, path(1))
	refused := errors.New("refused")
	o := testOptions(fs, 2)
	o.Accept = func() error { return refused }
	if _, _, err := tryOpen(o); !errors.Is(err, refused) {
		t.Fatalf("opened: %v", err)
	}
	if got := data(t, fs, path(1)); string(got) != string(before) {
		t.Error("the file has changed")
	}
	if _, got := open(t, testOptions(fs, 2)); len(got) != 1 {
		t.Errorf("%d frames, one was torn", len(got))
	}
	o = testOptions(crashfs.New(), 2)
	o.Accept = func() error { return refused }
	if _, _, err := tryOpen(o); !errors.Is(err, refused) {
		t.Errorf("an empty folder: %v", err)
	}
}
