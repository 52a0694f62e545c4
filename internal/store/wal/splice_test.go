package wal

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/record"
)

// TestSplices: what is put together in the log is what its parts say, at every
// size, and its chain of checksums is that of the whole.
func TestSplices(t *testing.T) {
	fs, rng := vfs.NewMem(), rand.New(rand.NewPCG(7, 7))
	l, _ := open(t, Options{FS: fs, Dir: "/wal", FileSize: 1 << 20, Keep: 1 << 20})
	var wholes [][]byte
	var at []Position
	for range 60 {
		f := Frame{Kind: KindEntry, Group: 1, Index: record.Index(len(at) + 1), Body: random(rng, rng.IntN(40_000))}
		for range rng.IntN(4) {
			b := random(rng, rng.IntN(30_000))
			f.Splices = append(f.Splices, Splice{At: len(f.Body), Bytes: b, Sum: checksum(0, b)})
			f.Body = append(f.Body, random(rng, rng.IntN(100))...)
		}
		wholes = append(wholes, Join(nil, f.Body, f.Splices))
		if n := f.size(); n != len(wholes[len(wholes)-1]) {
			t.Fatalf("%d bytes, joined %d", n, len(wholes[len(wholes)-1]))
		}
		b := &Batch{Sync: true}
		b.Frames = []Frame{f}
		b.Done = func(pos []Position, err error) {
			if err != nil {
				t.Fatal(err)
			}
			c := b.Frames[0].Chunk
			if !c.Hold() {
				t.Fatal("the chunk is gone before Done has returned")
			}
			if got := c.Bytes(pos[0].Offset, f.size()); !bytes.Equal(got, wholes[len(wholes)-1]) {
				t.Fatalf("entry %d lies otherwise in memory", len(wholes))
			}
			c.Release()
			at = append(at, pos[0])
		}
		l.Append(b)
		l.Flush()
	}
	for i, p := range at {
		b := make([]byte, FrameSize(len(wholes[i])))
		if _, err := l.ReadAt(p.File, b, p.Offset-FrameSize(0)); err != nil {
			t.Fatal(err)
		}
		if body, ok := p.Body(b); !ok || !bytes.Equal(body, wholes[i]) {
			t.Fatalf("entry %d is not what was written", i)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, found := open(t, Options{FS: fs, Dir: "/wal", FileSize: 1 << 20})
	defer l.Close()
	if n := len(found); n != len(wholes) {
		t.Fatalf("%d of %d entries are found again", n, len(wholes))
	}
}

func random(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}
