package wal

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestCombine(t *testing.T) {
	rng := newRNG(1)
	b := make([]byte, 1<<20)
	rngReader{rng}.Read(b)
	for range 300 {
		n := rng.IntN(1 << rng.IntN(21))
		from, crc := rng.IntN(len(b)-n), rng.Uint32()
		if rng.IntN(20) == 0 {
			crc = 0
		}
		body := b[from : from+n]
		if got, want := combine(crc, checksum(0, body), n), checksum(crc, body); got != want {
			t.Fatalf("%08x over %d bytes is %08x, want %08x", crc, n, got, want)
		}
	}
}

// TestChainIsTheChecksumOfBodies: whether the sum was taken ahead or not.
func TestChainIsTheChecksumOfBodies(t *testing.T) {
	l, _ := open(t, testOptions(vfs.NewMem(), 1))
	defer l.Close()
	chain := l.w.salt
	for i, n := range []int{10, sumAhead - 1, sumAhead, sumAhead + 1, 20_000, 0} {
		body := make([]byte, n)
		rngReader{newRNG(uint64(i))}.Read(body)
		write(t, l, Frame{Kind: KindEntry, Group: 1, Index: 1, Body: body})
		if chain = checksum(chain, body); l.w.chain != chain {
			t.Fatalf("the chain behind %d bytes is %08x, want %08x", n, l.w.chain, chain)
		}
	}
}

func BenchmarkCombine(b *testing.B) {
	for b.Loop() {
		combine(0x12345678, 0x9abcdef0, 1<<20-7)
	}
}
