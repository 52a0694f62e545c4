package store

import (
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
)

var compactKeys = flag.Int("compact.keys", 1_000_000, "how many keys BenchmarkCompaction writes; a tenth of them are written again")

// BenchmarkCompaction compacts a partition of many keys. Beside the time it
// reports the most heap that was in use while it compacted, and what it read and
// wrote.
func BenchmarkCompaction(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		x := openBench(b, Options{})
		updates := *compactKeys / 10
		rng := rand.New(rand.NewPCG(1, 1))
		x.fillKeys(*compactKeys, func(i int) uint64 { return uint64(i) })
		x.fillKeys(updates, func(int) uint64 { return rng.Uint64N(uint64(*compactKeys)) })
		end := x.next[1]
		x.fillKeys(1000, func(i int) uint64 { return uint64(i) }) // the active segment
		x.s.SetCompaction(0, x.last, 1, &Compaction{Below: end})
		x.checkpoint()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		before, peak := m.HeapInuse, uint64(0)
		st := x.s.Stats()
		b.StartTimer()
		for n := 0; ; n++ {
			did, err := x.s.Rewrite(rewriteStep)
			if err != nil {
				b.Fatal(err)
			}
			if !did {
				break
			}
			if n%16 == 0 {
				b.StopTimer()
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapInuse)
				b.StartTimer()
			}
		}
		b.StopTimer()
		const mb = 1 << 20
		b.ReportMetric(float64(peak-min(before, peak))/mb, "peak-MiB")
		b.ReportMetric(float64(st.RewriteRead.Load())/mb, "read-MiB")
		b.ReportMetric(float64(st.RewriteWritten.Load())/mb, "written-MiB")
		b.ReportMetric(float64(st.Compacted.Load())/mb, "removed-MiB")
		b.ReportMetric(float64(end)/b.Elapsed().Seconds(), "records/s")
		if st.Compactions.Load() != 1 || st.Compacted.Load() == 0 {
			b.Fatalf("%d compactions removed %d bytes", st.Compactions.Load(), st.Compacted.Load())
		}
		b.StartTimer()
	}
}

// fillKeys appends n records of 64 bytes or so to partition 1, a thousand to a
// batch.
func (x *simple) fillKeys(n int, key func(i int) uint64) {
	const perBatch = 1000
	var b record.Builder
	var batch []byte
	value := make([]byte, 40)
	for i := 0; i < n; {
		b.Reset(record.Template(record.None))
		for range min(perBatch, n-i) {
			k := key(i)
			binary.BigEndian.PutUint64(value, k)
			b.Add(record.Record{Timestamp: int64(i), Key: binary.AppendUvarint([]byte("key-"), k), Value: value})
			i++
		}
		var err error
		if batch, err = b.AppendTo(nil); err != nil {
			x.tb.Fatal(err)
		}
		x.last++
		x.s.Append([]Append{{Sync: i == n, Entries: []Entry{{Index: x.last, Term: 1, Data: batch}}}}, func(err error) {
			if err != nil {
				x.tb.Fatal(err)
			}
		})
		for x.s.Flush() {
		}
		base := x.next[1]
		x.next[1] += record.Offset(b.Count())
		x.s.AddRuns(0, x.last, []Run{{Partition: 1, Base: base, Last: x.next[1] - 1, Epoch: 1, MaxTimestamp: int64(i), Len: uint32(len(batch))}})
		if x.s.NeedsCheckpoint() {
			x.checkpoint()
		}
	}
}
