package wal

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// kept is a body that the lane said lies in a chunk.
type kept struct {
	pos   Position
	chunk *Chunk
	body  []byte
	held  bool
}

func (k *kept) check(t *testing.T) {
	t.Helper()
	if got := k.chunk.Bytes(k.pos.Offset, len(k.body)); !bytes.Equal(got, k.body) {
		t.Fatalf("a body of %d bytes at %d of file %d changed in memory", len(k.body), k.pos.Offset, k.pos.File)
	}
}

// What the lane keeps is what was written, up to Keep; what somebody holds stays
// beyond that, and what nobody holds is given back and cannot be held.
func TestRecent(t *testing.T) {
	memory := &tallied{}
	l, _ := open(t, Options{FS: vfs.NewMem(), Dir: "/wal", FileSize: 1 << 20, Keep: 512 << 10, Memory: memory})
	rng := rand.New(rand.NewPCG(1, 2))
	var all []*kept
	for i := range 2000 {
		size := rng.IntN(3000)
		switch rng.IntN(20) {
		case 0:
			size = rng.IntN(100_000)
		case 1:
			size = 0
		}
		body := make([]byte, size)
		for j := range body {
			body[j] = byte(i + j)
		}
		b := &Batch{Sync: rng.IntN(2) == 0, Frames: []Frame{{Kind: KindEntry, Group: 1, Body: body}}}
		b.Done = func(pos []Position, err error) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, &kept{pos: pos[0], chunk: b.Frames[0].Chunk, body: body})
		}
		l.Append(b)
		if rng.IntN(3) == 0 {
			for l.Flush() {
			}
		}
		if len(all) > 0 && i%10 == 0 {
			k := all[len(all)-1-rng.IntN(min(len(all), 40))]
			if !k.held {
				k.held = k.chunk.Hold()
			}
			if k.held {
				k.check(t)
			}
		}
	}
	inKeep, gone := 0, 0
	for _, k := range all {
		switch {
		case k.held:
			k.check(t)
			k.chunk.Release()
		case k.chunk.Hold():
			k.check(t)
			k.chunk.Release()
			inKeep += len(k.body)
		default:
			gone++
		}
	}
	if size, oldest := l.Recent(); inKeep == 0 || gone == 0 || size > 512<<10+int64(l.w.recent.size) || oldest == 0 || oldest > l.Active() {
		t.Fatalf("%d bytes of bodies are kept, %d are gone, the lane says %d from file %d on", inKeep, gone, size, oldest)
	}
	if n := l.Lent(); n != 0 {
		t.Fatalf("%d bytes are lent", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if memory.taken != 0 {
		t.Fatalf("%d bytes of memory were not given back", memory.taken)
	}
}

// tallied is memory that counts.
type tallied struct {
	heapMemory
	taken int
}

func (m *tallied) Take(n int) []byte { m.taken += n; return m.heapMemory.Take(n) }
func (m *tallied) Give(b []byte)     { m.taken -= cap(b); m.heapMemory.Give(b) }

// A chunk cannot be used by who does not hold it.
func TestChunkMisused(t *testing.T) {
	r := newRecent(&Options{FileSize: MinFileSize, Memory: &heapMemory{}, Keep: 1})
	panics := func(what string, f func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s: nobody noticed", what)
			}
		}()
		f()
	}
	c := r.take(1, 0, 10) // held by its writer
	c.n = 10
	early := c.Bytes(0, 10)
	r.trim()
	if c.Hold() {
		t.Error("a chunk was held that is not kept any more")
	}
	copy(early, "0123456789")
	c.Release()
	if early[0] != poison || early[9] != poison {
		t.Errorf("what was used too long reads %q", early)
	}
	panics("use", func() { c.Bytes(0, 10) })
	panics("sharing", c.Share)
	c.state.Store(chunkRetired)
	panics("release", c.Release)
}

// Mapped memory is used again, up to a few chunks.
func TestMapped(t *testing.T) {
	var m Mapped
	var all [][]byte
	for range 2 * spareChunks {
		b := m.Take(2 * pageSize)
		if len(b) != 2*pageSize || !Aligned(b) {
			t.Fatalf("%d bytes, aligned: %v", len(b), Aligned(b))
		}
		b[0], b[len(b)-1] = 1, 1
		all = append(all, b)
	}
	for _, b := range all {
		m.Give(b[:1])
	}
	if len(m.free) != spareChunks {
		t.Errorf("%d chunks are kept", len(m.free))
	}
	if &m.Take(2 * pageSize)[0] != &all[0][0] || len(m.free) != spareChunks-1 {
		t.Error("a chunk that was given back is not used again")
	}
	if b := m.Take(pageSize); len(b) != pageSize {
		t.Errorf("%d bytes", len(b))
	}
}
