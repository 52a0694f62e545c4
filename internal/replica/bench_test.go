package replica

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// blobs is a state machine that does nothing: what is measured is the host.
type blobs struct{ applied int }

type blob struct {
	bytes []byte
	done  chan error
}

func (b *blob) Size() int      { return len(b.bytes) }
func (b *blob) Done(err error) { b.done <- err }

func (*blobs) Encode(dst []byte, _ record.LogTime, batch []Proposal) []byte {
	for _, p := range batch {
		dst = append(dst, make([]byte, p.Size())...)
	}
	return dst
}

func (m *blobs) Apply(_ Entry, batch []Proposal)                     { m.applied += len(batch) }
func (*blobs) NextDeadline() (record.LogTime, bool)                  { return 0, false }
func (*blobs) LeaderChanged(bool, record.NodeID, record.Term)        {}
func (*blobs) Freeze()                                               {}
func (*blobs) EncodePages(func(key, value []byte), func() bool) bool { return true }
func (*blobs) Restore(PageSource) error                              { return nil }
func (*blobs) SnapshotRanges(PageSource) ([]Range, error)            { return nil, nil }

// openBench opens a host of groups with one member each over a store.
func openBench(b testing.TB, fs vfs.FS, dir string, groups int, o Options) (*Host, *store.Store) {
	s, err := store.Open(store.Options{FS: fs, Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	var cuts []store.GroupCut
	for g := range record.ShardID(groups) {
		cut, err := Bootstrap(g, 1)
		if err != nil {
			b.Fatal(err)
		}
		cuts = append(cuts, cut)
	}
	if err := s.Bootstrap(store.Meta{Node: 1}, cuts); err != nil {
		b.Fatal(err)
	}
	o.Node = 1
	o.Fatal = func(err error) { b.Error(err) }
	h := newHost(o, realStore{s}, defaultTuning())
	for g := range record.ShardID(groups) {
		if _, err := h.Open(g, &blobs{}); err != nil {
			b.Fatal(err)
		}
	}
	return h, s
}

// BenchmarkPropose measures what the host and the store cost per proposal, in
// one goroutine and without a disk.
func BenchmarkPropose(b *testing.B) {
	for _, perEntry := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("perEntry=%d", perEntry), func(b *testing.B) {
			h, s := openBench(b, vfs.NewMem(), "data", 1, Options{Loops: 1})
			defer s.Close()
			drain := func() {
				for h.Step(0) || s.Flush() || h.StepWork() {
				}
			}
			drain()
			g := h.Group(0)
			ps := make([]*blob, perEntry)
			for i := range ps {
				ps[i] = &blob{bytes: make([]byte, 100), done: make(chan error, 1)}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += perEntry {
				for _, p := range ps {
					g.Propose(p)
				}
				drain()
				for _, p := range ps {
					if err := <-p.done; err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkGroupCommit measures clients that each wait for their proposal
// before the next one, on the disk of this machine.
func BenchmarkGroupCommit(b *testing.B) {
	for _, size := range []int{1000, 64 << 10} {
		for _, groups := range []int{1, 16} {
			for _, clients := range []int{1, 16, 256} {
				b.Run(fmt.Sprintf("size=%d/groups=%d/clients=%d", size, groups, clients), func(b *testing.B) {
					b.SetBytes(int64(size))
					benchCommit(b, groups, clients, size)
				})
			}
		}
	}
}

func benchCommit(b *testing.B, groups, clients, size int) {
	h, s := openBench(b, vfs.Default, b.TempDir(), groups, Options{})
	ctx, stop := context.WithCancel(b.Context())
	var drivers, work sync.WaitGroup
	drivers.Go(func() { h.Run(ctx) })
	drivers.Go(func() { s.Run(ctx) })
	for g := range record.ShardID(groups) {
		for !h.Group(g).IsLeader() {
			ready := make(chan error, 1)
			h.Group(g).Post(func() { ready <- nil })
			<-ready
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for c := range clients {
		n := b.N / clients
		if c < b.N%clients {
			n++
		}
		work.Go(func() {
			p := &blob{bytes: make([]byte, size), done: make(chan error, 1)}
			g := h.Group(record.ShardID(c % groups))
			for range n {
				g.Propose(p)
				if err := <-p.done; err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/float64(s.Stats().Flushes.Load()), "proposals/sync")
	stop()
	drivers.Wait()
	h.Close()
	s.Close()
}
