package brokertest

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/store"
)

// live opens a broker as a server does, with goroutines of its own.
func live(tb testing.TB, fs vfs.FS, dir string) *broker.Broker {
	tb.Helper()
	st, err := store.Open(store.Options{FS: fs, Dir: dir})
	if err != nil {
		tb.Fatal(err)
	}
	host := replica.New(replica.Options{Node: 1, Store: st, Fatal: func(err error) { panic(err) }})
	br, err := broker.Open(broker.Options{Store: st, Host: host})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := st.Run(ctx); err != nil {
			panic(err)
		}
	})
	wg.Go(func() { host.Run(ctx) })
	tb.Cleanup(func() {
		if err := br.Close(context.Background()); err != nil {
			tb.Error(err)
		}
		cancel()
		wg.Wait()
		host.Close()
		if err := st.Close(); err != nil {
			tb.Error(err)
		}
	})
	<-br.Ready()
	return br
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAppend is connections that append one record at a time and wait for
// it (window 1), or keep several under way, to 12 partitions. Of interest is
// cpu-µs/op, what an append costs the machine, and, on a disk (TMPDIR says which),
// the rate.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ conns, window, bytes int }{{1, 1, 100}, {64, 1, 100}, {64, 5, 1000}, {8, 5, 16_000}} {
		name := fmt.Sprintf("conns=%d/window=%d/bytes=%d", c.conns, c.window, c.bytes)
		b.Run("memory/"+name, func(b *testing.B) {
			benchAppend(b, live(b, vfs.NewMem(), "data"), c.conns, c.window, c.bytes)
		})
		b.Run("disk/"+name, func(b *testing.B) {
			benchAppend(b, live(b, vfs.Default, b.TempDir()), c.conns, c.window, c.bytes)
		})
	}
}

func benchAppend(b *testing.B, br *broker.Broker, conns, window, bytes int) {
	b.Helper()
	created := make(chan *broker.Topic, 1)
	br.CreateTopics([]broker.NewTopic{{Name: "t", Partitions: 12, Replication: -1}}, false, func(r []broker.TopicResult) {
		created <- r[0].Topic
	})
	parts := (<-created).Partitions
	batch := Batch(string(make([]byte, bytes)))
	per := max(1, b.N/conns)
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	b.ResetTimer()
	cpu := cpuTime()
	var wg sync.WaitGroup
	for conn := range conns {
		wg.Go(func() {
			free := make(chan *broker.Append, window)
			for range window {
				free <- &broker.Append{Batch: batch, Done: func(a *broker.Append) {
					if a.Err != nil {
						panic(a.Err)
					}
					free <- a
				}}
			}
			for i := range per {
				parts[(conn+i)%len(parts)].Append(<-free)
			}
			for range window {
				<-free
			}
		})
	}
	wg.Wait()
	n := float64(per * conns)
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/n, "cpu-µs/op")
	b.ReportMetric(n/b.Elapsed().Seconds(), "appends/s")
}
