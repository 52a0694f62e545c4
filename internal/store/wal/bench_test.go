package wal

import (
	"context"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/record"
)

// benchmarkLane runs a lane on the real file system, its pool filled, whose
// sealed files are freed as they come, and returns when every writer has
// waited for each of its batches in turn.
func benchmarkLane(b *testing.B, fs vfs.FS, dir string, writers, size, ahead int) {
	b.Helper()
	l, err := Open(Options{FS: fs, Dir: dir, PoolTarget: 4}, func(Position, Frame) error { return nil })
	if err != nil {
		b.Fatal(err)
	}
	fill(l)
	ctx, stop := context.WithCancel(context.Background())
	var drivers sync.WaitGroup
	drivers.Go(func() { l.Run(ctx) })
	freed := FileNum(1)
	free := func() {
		for ; freed < l.Active(); freed++ {
			if err := l.Free(freed); err != nil {
				b.Error(err)
			}
		}
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	var all sync.WaitGroup
	for g := range writers {
		all.Go(func() {
			idle := make(chan *Batch, ahead)
			for range ahead {
				bt := &Batch{Frames: []Frame{{Kind: KindEntry, Group: record.ShardID(g), Body: make([]byte, size)}}, Sync: true}
				bt.Done = func(_ []Position, err error) {
					if err != nil {
						b.Error(err)
					}
					idle <- bt
				}
				idle <- bt
			}
			for i := g; i < b.N; i += writers {
				l.Append(<-idle)
				if g == 0 && i%64 == 0 {
					free()
				}
			}
			for range ahead {
				<-idle
			}
		})
	}
	all.Wait()
	b.StopTimer()
	stop()
	drivers.Wait()
	l.Close()
}

func BenchmarkLane(b *testing.B) {
	for _, c := range []struct {
		name                 string
		writers, size, ahead int
	}{
		{"1x200B", 1, 200, 1},
		{"64x200B", 64, 200, 1},
		{"64x200B-ahead16", 64, 200, 16},
		{"1x1MiB", 1, 1 << 20, 1},
		{"1x1MiB-ahead4", 1, 1 << 20, 4},
	} {
		b.Run(c.name, func(b *testing.B) {
			benchmarkLane(b, vfs.Default, b.TempDir(), c.writers, c.size, c.ahead)
		})
	}
}

// BenchmarkCPU is what a flush costs beside the disk.
func BenchmarkCPU(b *testing.B) {
	for _, size := range []int{200, 64 << 10, 1 << 20} {
		b.Run(sizeName(size), func(b *testing.B) {
			l, err := Open(Options{FS: vfs.NewMem(), Dir: "/wal"}, func(Position, Frame) error { return nil })
			if err != nil {
				b.Fatal(err)
			}
			fill(l)
			n := max(1, 64<<10/size)
			batches := make([]*Batch, n)
			for i := range batches {
				batches[i] = &Batch{Frames: []Frame{{Kind: KindEntry, Body: make([]byte, size)}}, Sync: true, Done: func([]Position, error) {}}
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += n {
				for _, x := range batches {
					l.Append(x)
				}
				l.Flush()
				if a := l.Active(); a > 1 {
					for _, info := range l.Sealed() {
						l.Free(info.Num)
					}
				}
			}
		})
	}
}

func sizeName(n int) string {
	switch {
	case n >= 1<<20:
		return "1MiB"
	case n >= 1<<10:
		return "64KiB"
	}
	return "200B"
}
