package store

import (
	"context"
	"sync"
	"time"
)

// Run drives Flush, the WAL's pool, Rewrite and the looks at the disk until
// ctx is done or the store dies, and returns why it died, if it did. While
// nothing happens it sleeps, except that it looks from time to time whether a
// disk that was full has room again.
func (s *Store) Run(ctx context.Context) error {
	var background sync.WaitGroup
	defer background.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	background.Go(func() { s.runRewriter(ctx) })
	if err := s.lane.Run(ctx); err != nil {
		return s.die(err)
	}
	return s.Err()
}

// runRewriter rewrites whenever a checkpoint has made files ready for it.
func (s *Store) runRewriter(ctx context.Context) {
	for {
		var again <-chan struct{}
		s.LookAtDisk()
		if s.Health().State == DiskFull {
			for s.lane.Fill() {
			}
			again = s.after(diskInterval)
		}
		if err := s.rewriteAll(ctx); err != nil && s.Err() == nil {
			s.o.Logger.Warn("a rewrite was given up; it will be tried again", "error", err)
			again = s.after(retryInterval)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-again:
		}
	}
}

// rewriteAll rewrites until nothing more is due. While produce traffic flows
// it rests twice as long as it works, unless the debt grows.
func (s *Store) rewriteAll(ctx context.Context) error {
	for ctx.Err() == nil {
		appended, began := s.stats.Appended.Load(), s.o.Clock.Mono()
		did, err := s.Rewrite(rewriteStep)
		if err != nil || !did {
			return err
		}
		if busy := s.stats.Appended.Load() > appended; busy && s.debt() < 0.5 {
			select {
			case <-ctx.Done():
			case <-s.after(2 * (s.o.Clock.Mono() - began)):
			}
		}
	}
	return nil
}

// after returns a channel that is closed once d has passed.
func (s *Store) after(d time.Duration) <-chan struct{} {
	c := make(chan struct{})
	s.o.Clock.AfterFunc(d, func() { close(c) })
	return c
}
