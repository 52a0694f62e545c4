package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/record"
)

const testSize = 64 << 10

// rngReader is a source of salts from a seed.
type rngReader struct{ *rand.Rand }

func (r rngReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return len(p), nil
}

func newRNG(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)) }

func testOptions(fs vfs.FS, seed uint64) Options {
	return Options{FS: fs, Dir: "/wal", FileSize: testSize, Salt: rngReader{newRNG(seed)}}
}

// seen is a frame that recovery showed.
type seen struct {
	pos Position
	f   Frame
}

func open(tb testing.TB, o Options) (*Lane, []seen) {
	tb.Helper()
	l, got, err := tryOpen(o)
	if err != nil {
		tb.Fatal(err)
	}
	return l, got
}

func tryOpen(o Options) (*Lane, []seen, error) {
	var got []seen
	l, err := Open(o, func(pos Position, f Frame) error {
		f.Body = slices.Clone(f.Body)
		got = append(got, seen{pos, f})
		return nil
	})
	return l, got, err
}

func entry(g record.ShardID, i record.Index, body string) Frame {
	return Frame{Kind: KindEntry, Group: g, Index: i, Term: 1, Body: []byte(body)}
}

func hardState(g record.ShardID, body string) Frame {
	return Frame{Kind: KindHardState, Group: g, Index: 1, Term: 7, Body: []byte(body)}
}

// write appends one synced batch, flushes, and returns the positions.
func write(tb testing.TB, l *Lane, frames ...Frame) []Position {
	tb.Helper()
	var at []Position
	var failed error
	l.Append(&Batch{Frames: frames, Sync: true, Done: func(pos []Position, err error) { at, failed = slices.Clone(pos), err }})
	for l.Flush() {
	}
	if failed != nil {
		tb.Fatal(failed)
	}
	return at
}

// lines shows frames one a line.
func lines(got []seen) string {
	var b strings.Builder
	for _, s := range got {
		body := string(s.f.Body)
		if len(body) > 20 {
			body = fmt.Sprintf("%s…%d", body[:8], len(body))
		}
		fmt.Fprintf(&b, "%s %d/%d %s\n", s.f.Kind, s.f.Group, s.f.Index, body)
	}
	return b.String()
}

func TestReopenShowsWhatWasWritten(t *testing.T) {
	fs := vfs.NewMem()
	l, got := open(t, testOptions(fs, 1))
	if len(got) != 0 {
		t.Fatal("a new lane is not empty")
	}
	pos := write(t, l, entry(1, 1, "one"), hardState(1, "vote"), entry(2, 1, "other"))
	pos = append(pos, write(t, l, entry(1, 2, "two"))...)
	for i, want := range []string{"one", "vote", "other", "two"} {
		b := make([]byte, len(want))
		if _, err := l.ReadAt(pos[i].File, b, pos[i].Offset); err != nil || string(b) != want {
			t.Fatalf("read %q, %v; want %q", b, err, want)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, got = open(t, testOptions(fs, 2))
	defer l.Close()
	want := "entry 1/1 one\nhardstate 1/1 vote\nentry 2/1 other\nentry 1/2 two\n"
	if lines(got) != want {
		t.Fatalf("recovered\n%swant\n%s", lines(got), want)
	}
	for i, s := range got {
		if s.pos != pos[i] {
			t.Errorf("frame %d at %v, was written at %v", i, s.pos, pos[i])
		}
	}
}

func TestRotationRepeatsHardStates(t *testing.T) {
	fs := vfs.NewMem()
	l, _ := open(t, testOptions(fs, 1))
	write(t, l, hardState(3, "c1"), hardState(1, "a1"), hardState(2, "b1"))
	write(t, l, hardState(1, "a2"), hardState(2, ""))
	body := strings.Repeat("x", 30000)
	for i := range 3 {
		write(t, l, entry(1, record.Index(i+1), body))
	}
	if l.Active() != 2 {
		t.Fatalf("active file %d, want 2", l.Active())
	}
	sealed := l.Sealed()
	if len(sealed) != 1 || sealed[0].Num != 1 || !slices.Equal(sealed[0].MaxIndex, []GroupIndex{{1, 2}}) {
		t.Fatalf("sealed %+v", sealed)
	}
	l.Close()
	o := testOptions(fs, 2)
	o.From = 2
	l, got := open(t, o)
	defer l.Close()
	want := "hardstate 1/1 a2\nhardstate 3/1 c1\nentry 1/3 xxxxxxxx…30000\n"
	if lines(got) != want {
		t.Fatalf("recovered\n%swant\n%s", lines(got), want)
	}
	if s := l.Sealed(); len(s) != 1 || s[0].Num != 1 || s[0].Length != 0 {
		t.Fatalf("sealed after reopening from 2: %+v", s)
	}
}

func TestRefusals(t *testing.T) {
	fs := vfs.NewMem()
	l, _ := open(t, testOptions(fs, 1))
	var order []string
	add := func(name string, frames ...Frame) {
		l.Append(&Batch{Frames: frames, Sync: true, Done: func(_ []Position, err error) {
			order = append(order, fmt.Sprintf("%s %v", name, errors.Is(err, ErrTooLarge)))
		}})
	}
	add("fits", entry(1, 1, strings.Repeat("a", MaxBody(testSize))))
	add("body", entry(1, 2, "small"), entry(1, 2, strings.Repeat("b", MaxBody(testSize)+1)))
	add("hardstate", hardState(1, strings.Repeat("c", MaxHardState+1)))
	add("after", entry(1, 2, "ok"))
	var many []Frame
	for g := range maxGroups(testSize) + 1 {
		many = append(many, hardState(record.ShardID(g), "x"))
	}
	add("groups", many...)
	for l.Flush() {
	}
	if want := []string{"fits false", "body true", "hardstate true", "after false", "groups true"}; !slices.Equal(order, want) {
		t.Fatalf("done in order %q, want %q", order, want)
	}
	l.Close()
	_, got := open(t, testOptions(fs, 1))
	if want := fmt.Sprintf("entry 1/1 aaaaaaaa…%d\nentry 1/2 ok\n", MaxBody(testSize)); lines(got) != want {
		t.Fatalf("recovered\n%s", lines(got))
	}
}
