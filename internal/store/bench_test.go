package store

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/record"
)

// openBench opens a store on the machine's disk.
func openBench(b *testing.B, o Options) *simple {
	b.Helper()
	o.FS, o.Dir = vfs.Default, b.TempDir()
	x := openSimple(b, o)
	b.Cleanup(func() {
		if err := x.s.Close(); err != nil {
			b.Error(err)
		}
	})
	return x
}

// BenchmarkProduce is the life of one entry on an idle node: append, one sync,
// the run, and a reader at the tail.
func BenchmarkProduce(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			x := openBench(b, Options{})
			data := testBatch(b, 1, size, 0)
			var r Result
			runs := make([]Run, 1)
			ok := func(err error) {
				if err != nil {
					b.Fatal(err)
				}
			}
			in := []Append{{Sync: true, Entries: make([]Entry, 1)}}
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				x.last++
				in[0].Entries[0] = Entry{Index: x.last, Term: 1, Data: data}
				x.s.Append(in, ok)
				for x.s.Flush() {
				}
				o := record.Offset(x.last - 1)
				runs[0] = Run{Partition: 1, Base: o, Last: o, Len: uint32(len(data))}
				x.s.AddRuns(0, x.last, runs)
				ok(x.s.Read(&r, 1, o, o+1, 1<<20, true))
				r.Release()
				if x.s.NeedsCheckpoint() {
					b.StopTimer()
					x.checkpoint()
					b.StartTimer()
				}
			}
		})
	}
}

// BenchmarkGroupCommit is the same with many entries per sync.
func BenchmarkGroupCommit(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			x := openBench(b, Options{})
			data := testBatch(b, 1, size, 0)
			runs := make([]Run, 1)
			done := func(error) {}
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			in := []Append{{Sync: true, Entries: make([]Entry, 1)}}
			first := record.Index(1)
			apply := func() {
				for x.s.Flush() {
				}
				for ; first <= x.last; first++ {
					o := record.Offset(first - 1)
					runs[0] = Run{Partition: 1, Base: o, Last: o, Len: uint32(len(data))}
					x.s.AddRuns(0, first, runs)
				}
				if x.s.NeedsCheckpoint() {
					x.checkpoint()
				}
			}
			per := record.Index(min(1000, 4<<20/len(data)))
			for b.Loop() {
				x.last++
				in[0].Entries[0] = Entry{Index: x.last, Term: 1, Data: data}
				x.s.Append(in, done)
				if x.last%per == 0 {
					apply()
				}
			}
			apply()
		})
	}
}

// BenchmarkRead reads 1 MiB at a time through 32 MiB of batches, from memory
// and from files of either level.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{200, 500, 1 << 10, 2 << 10, 4 << 10, 16 << 10, 256 << 10} {
		for _, where := range []string{"memory", "level0", "level1"} {
			b.Run(fmt.Sprintf("%s/%d", where, size), func(b *testing.B) {
				o := Options{}
				if where != "memory" {
					o.TailBytes = 1
				}
				if where == "level1" {
					o.Rewriting = Rewriting{MinFiles: 1, ShortRun: 1 << 30}
				}
				x := openBench(b, o)
				fillBench(b, x, size, 32<<20)
				if where != "memory" {
					fillBench(b, x, 1<<20, 80<<20) // pushes it into sealed files
					x.checkpoint()
				}
				for did := where == "level1"; did; {
					var err error
					if did, err = x.s.Rewrite(4 << 20); err != nil {
						b.Fatal(err)
					}
				}
				end := record.Offset(32<<20/size) - 1
				readBench(b, x, end)
			})
		}
	}
}

// fillBench appends entries of about 64 KiB, each one run of many batches.
func fillBench(b *testing.B, x *simple, size, total int) {
	b.Helper()
	per := max(1, 64<<10/size)
	var data []byte
	for range per {
		data = append(data, testBatch(b, 1, size, 0)...)
	}
	for done := 0; done < total; done += per * size {
		x.last++
		x.s.Append([]Append{{Sync: false, Entries: []Entry{{Index: x.last, Term: 1, Data: data}}}}, nil)
		for x.s.Flush() {
		}
		o := x.next[1]
		x.s.AddRuns(0, x.last, []Run{{Partition: 1, Base: o, Last: o + record.Offset(per) - 1, Len: uint32(len(data))}})
		x.next[1] += record.Offset(per)
	}
}

func readBench(b *testing.B, x *simple, end record.Offset) {
	b.Helper()
	var r Result
	var from record.Offset
	var bytes, buffers int64
	b.ReportAllocs()
	for b.Loop() {
		if err := x.s.Read(&r, 1, from, end, 1<<20, true); err != nil {
			b.Fatal(err)
		}
		bytes += int64(r.Size)
		buffers += int64(len(r.Buffers))
		if from = r.Next; r.Size < 512<<10 {
			from = 0
		}
		r.Release()
	}
	b.SetBytes(bytes / int64(b.N))
	b.ReportMetric(float64(buffers)/float64(b.N), "buffers/op")
}
