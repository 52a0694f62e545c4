package replica

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// TestRun lets goroutines drive a host over the real store, under load from
// many callers, half of whom help, and stops it in the middle: everyone is
// answered.
func TestRun(t *testing.T) {
	for _, loops := range []int{1, 2} {
		h, s := openRun(t, loops, 5)
		ctx, stop := context.WithCancel(t.Context())
		var drivers, callers sync.WaitGroup
		drivers.Go(func() { h.Run(ctx) })
		drivers.Go(func() { _ = s.Run(ctx) })
		var mu sync.Mutex
		succeeded, refused := 0, 0
		enough := make(chan struct{})
		for who := range 20 {
			callers.Go(func() {
				for i := 0; ; i++ {
					answered := make(chan error, 1)
					c := newCommand(uint64(who*1_000_000+i), who%partitions, 300*(1+i%20))
					c.done = func(c *command) { answered <- c.err }
					if g := h.Group(record.ShardID(who % 5)); who%2 == 0 {
						g.ProposeQuietly(c)
						h.Help()
					} else {
						g.Propose(c)
					}
					err := <-answered
					mu.Lock()
					switch {
					case err == nil:
						if succeeded++; succeeded == 2000 {
							close(enough)
						}
					case errors.Is(err, ErrNotLeader): // at the very beginning
					case errors.Is(err, ErrStopped) || errors.Is(err, ErrUnknown):
						refused++
						mu.Unlock()
						return
					default:
						t.Errorf("command %d: %v", c.id, err)
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		stop()
		drivers.Wait()
		h.Close()
		callers.Wait()
		if refused != 20 {
			t.Errorf("%d of 20 callers were told that it is over", refused)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// idleStore notices flushes that had nothing to write.
type idleStore struct {
	realStore
	idle chan struct{}
}

func (s idleStore) Flush() bool {
	wrote := s.realStore.Flush()
	if !wrote {
		signal(s.idle)
	}
	return wrote
}

// TestAnIdleLogIsFlushedOnceMore: it notes then up to where it is durable.
func TestAnIdleLogIsFlushedOnceMore(t *testing.T) {
	for _, here := range []int{-1, 1 << 20} {
		h, s := openRun(t, 1, 1)
		idle := idleStore{realStore{s}, make(chan struct{}, 1)}
		h.store, h.tune.flushHere = idle, here
		ctx, stop := context.WithCancel(t.Context())
		var drivers sync.WaitGroup
		drivers.Go(func() { h.Run(ctx) })
		for range 3 {
			<-idle.idle // it was idle before
			for err := ErrNotLeader; err != nil; {
				answered := make(chan error, 1)
				c := newCommand(1, 0, 10)
				c.done = func(c *command) { answered <- c.err }
				h.Group(0).Propose(c)
				err = <-answered
			}
		}
		<-idle.idle
		stop()
		drivers.Wait()
		h.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// openRun opens a host of groups 0 to n-1 with one member each, in memory.
func openRun(t *testing.T, loops, n int) (*Host, *store.Store) {
	o := smallStore(nil)
	o.FS, o.WALFileSize, o.CheckpointBytes = vfs.NewMem(), 1<<20, 4<<20
	s, err := store.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	var cuts []store.GroupCut
	for g := range record.ShardID(n) {
		cut, err := Bootstrap(g, 1)
		if err != nil {
			t.Fatal(err)
		}
		cuts = append(cuts, cut)
	}
	if err := s.Bootstrap(store.Meta{Node: 1}, cuts); err != nil {
		t.Fatal(err)
	}
	h := New(Options{Node: 1, Store: s, Loops: loops, Fatal: func(err error) { t.Error(err) }})
	for g := range record.ShardID(n) {
		m := newMachine(g)
		m.runs = s
		if _, err := h.Open(g, m); err != nil {
			t.Fatal(err)
		}
	}
	return h, s
}
