package store

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/polylog-mq/polylog/internal/crashfs"
)

// TestOpenOnAFullDisk: a store whose disk has filled up while it was closed
// gives up its spare files to open, since Pebble cannot open without room; with
// nothing to give up it says that the disk is full.
func TestOpenOnAFullDisk(t *testing.T) {
	fs := crashfs.New()
	o := Options{FS: fs, Dir: "data", WALFileSize: 16 << 20}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Append([]Append{{Group: 1, Entries: []Entry{{Index: 1, Term: 1, Data: []byte("first")}}, Sync: true}}, func(error) {})
	for s.Flush() {
	}
	for s.Fill() {
	}
	full := func() {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		u, err := fs.GetDiskUsage("data")
		if err != nil {
			t.Fatal(err)
		}
		fs.SetQuota(int64(u.UsedBytes))
	}
	spares := func() (n int) {
		names, err := fs.List(fs.PathJoin("data", "wal"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasPrefix(name, "spare-") {
				n++
			}
		}
		return n
	}
	if spares() == 0 {
		t.Fatal("there are no spare files to give up")
	}
	for spares() > 0 {
		full()
		if s, err = Open(o); err != nil {
			t.Fatalf("with spare files to give up: %v", err)
		}
		if got := s.Log(1).LastIndex(); got != 1 {
			t.Errorf("the log ends at %d", got)
		}
	}
	full()
	if _, err := Open(o); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("with nothing left: %v", err)
	}
}
