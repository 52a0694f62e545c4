package kafka

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/polylog-mq/polylog/test/harness"
)

// logFile returns the WAL file that holds some bytes, and where.
func logFile(t *testing.T, s *harness.Server, needle string) (path string, at int) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(s.Data(), "wal", "*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, []byte(needle)); at >= 0 {
			return path, at
		}
	}
	t.Fatalf("%q is in no WAL file", needle)
	return "", 0
}

func flip(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 0x20
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamage flips one byte of an acknowledged record: the server refuses to
// start, says where and what to do, and starts again once the byte is back.
func TestDamage(t *testing.T) {
	s := harness.Start(t)
	c := newClient(t, s, kgo.ProducerBatchCompression(kgo.NoCompression()))
	for _, prefix := range []string{"early", "middle", "late"} {
		produce(t, c, "t", prefix, 3)
	}
	s.Stop()
	path, at := logFile(t, s, "middle-1")
	flip(t, path, at)
	err := s.TryRestart()
	if err == nil {
		t.Fatal("it starts")
	}
	for _, want := range []string{path, "offset", "restore", "data.dir"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no mention of %q in: %v", want, err)
		}
	}
	if !regexp.MustCompile(`offset \d+`).MatchString(err.Error()) {
		t.Errorf("no offset in: %v", err)
	}
	flip(t, path, at)
	s.Restart()
	r := newClient(t, s, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	seen := consume(t, r, 9)
	expectOnce(t, seen, "middle", 3)
}

// TestTornTail writes rubbish behind the last frame, as a crash in the middle
// of a write may leave it: it is repaired, and nothing acknowledged is missing.
func TestTornTail(t *testing.T) {
	s := harness.Start(t)
	produce(t, newClient(t, s, kgo.ProducerBatchCompression(kgo.NoCompression())), "t", "kept", 5)
	s.Kill()
	path, at := logFile(t, s, "kept-4")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The last record's frame and the idle mark behind it end within a few
	// hundred bytes; what follows is the part of the file not yet written.
	copy(b[at+4096:], bytes.Repeat([]byte("torn"), 100))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Restart()
	r := newClient(t, s, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	expectOnce(t, consume(t, r, 5), "kept", 5)
}
