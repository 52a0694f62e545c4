package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
)

// skip reads one response and throws it away.
func (c *client) skip(buf []byte) {
	if _, err := io.ReadFull(c, buf[:4]); err != nil {
		c.t.Fatal(err)
	}
	n := int(binary.BigEndian.Uint32(buf))
	if _, err := io.ReadFull(c, buf[:n]); err != nil {
		c.t.Fatal(err)
	}
}

// BenchmarkProduce is one connection with five requests in flight over a store
// in memory; allocations are those of the whole process.
func BenchmarkProduce(b *testing.B) {
	for _, size := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			r := newRig(b)
			r.topic("t", 1)
			frame := frameOf(produceRequest(9, "t", [16]byte{}, batchOf(b, record.Template(record.None), now(), strings.Repeat("x", size))), 1)
			buf := make([]byte, 1<<16)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			inFlight := 0
			for b.Loop() {
				r.client.write(frame)
				if inFlight++; inFlight == 5 {
					r.skip(buf)
					inFlight--
				}
			}
			for range inFlight {
				r.skip(buf)
			}
		})
	}
}

// TestFetchAllocatesLittle is a gate on the steady path; what is counted is the
// whole process, so a little is left to others.
func TestFetchAllocatesLittle(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes pools forget")
	}
	r := newRig(t)
	r.topic("t", 1)
	r.write("t", strings.Repeat("x", 1<<16))
	frame := frameOf(fetchRequest(11, "t", [16]byte{}, 0), 1)
	buf := make([]byte, 1<<18)
	if n := testing.AllocsPerRun(200, func() {
		r.client.write(frame)
		r.skip(buf)
	}); n > 3 {
		t.Errorf("%v allocations for one fetch", n)
	}
}

// perEntry is how many allocations an entry may cost, waking the loop included.
const perEntry = 8

// TestProduceAllocatesLittle is a gate on the steady path. An entry costs a few
// allocations, a request none: many requests that go into few entries must not
// cost more than those entries.
func TestProduceAllocatesLittle(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes pools forget")
	}
	r := newRig(t)
	r.topic("t", 1)
	frame := frameOf(produceRequest(9, "t", [16]byte{}, batchOf(t, record.Template(record.None), now(), "x")), 1)
	many := bytes.Repeat(frame, maxInFlight/2)
	buf := make([]byte, 1<<16)
	entries := r.store.Stats().Appends.Load()
	n := testing.AllocsPerRun(100, func() {
		r.client.write(many)
		for range maxInFlight / 2 {
			r.skip(buf)
		}
	})
	perRun := float64(r.store.Stats().Appends.Load()-entries) / 101
	if own := (n - perEntry*perRun) / (maxInFlight / 2); own > 0.5 {
		t.Errorf("%v allocations for %d requests in %.1f entries: %.1f for each request", n, maxInFlight/2, perRun, own)
	}
}

// BenchmarkFetch reads the same megabyte from the tail again and again.
func BenchmarkFetch(b *testing.B) {
	r := newRig(b)
	r.topic("t", 1)
	for range 16 {
		r.write("t", strings.Repeat("x", 1<<16))
	}
	frame := frameOf(fetchRequest(11, "t", [16]byte{}, 0), 1)
	buf := make([]byte, 2<<20)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		r.client.write(frame)
		r.skip(buf)
	}
}
