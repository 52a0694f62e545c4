package store

import (
	"context"
	"sync"
	"time"
)

// Run drives the WAL's pool, Rewrite and the looks at the disk until ctx is
// done, and returns why the store died, if it did. Flush is left to whoever
// appends (replica.Host.Run), who knows best when to wait for the disk. While
// nothing happens it sleeps, except that it looks from time to time whether a
// disk that was full has room again.
func (s *Store) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var filler sync.WaitGroup
	filler.Go(func() { s.lane.RunFill(ctx, s.filled) })
	for range aheadReads {
		filler.Go(func() { s.runReadAhead(ctx) })
	}
	s.runRewriter(ctx)
	cancel()
	filler.Wait()
	if err := s.lane.Err(); err != nil {
		return s.die(err)
	}
	return s.Err()
}

// filled has the disk looked at, until it has room, when the WAL found none for
// another file.
func (s *Store) filled() {
	if s.lane.Space().Full {
		s.wakeRewriter()
	}
}

func (s *Store) wakeRewriter() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Fill does one step of preparing WAL files ahead of need and reports whether
// there is more to do. Run sees to it.
func (s *Store) Fill() bool { return s.lane.Fill() }

// runRewriter rewrites whenever a checkpoint has made files ready for it.
func (s *Store) runRewriter(ctx context.Context) {
	// The disk belongs to the first clients for a moment.
	if again := s.after(startDelay); !s.pause(ctx, again) {
		return
	}
	for {
		var again <-chan struct{}
		s.LookAtDisk()
		if s.room() == DiskFull {
			for s.Fill() {
			}
			again = s.after(diskInterval)
		}
		if err := s.keepRoom(ctx); err != nil {
			s.o.Logger.Warn("no room could be set aside for checkpoints on a full disk", "error", err)
		}
		if err := s.rewriteAll(ctx); err != nil && s.Err() == nil {
			s.o.Logger.Warn("a rewrite was given up; it will be tried again", "error", err)
			if again == nil { // a full disk is looked at sooner
				again = s.after(retryInterval)
			}
		}
		if !s.pause(ctx, again) {
			return
		}
	}
}

// pause waits for a checkpoint or the channel, and reports whether ctx lives.
func (s *Store) pause(ctx context.Context, again <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-s.wake:
	case <-again:
	}
	return ctx.Err() == nil
}

// keepRoom fills the ballast.
func (s *Store) keepRoom(ctx context.Context) error {
	for more := true; more && ctx.Err() == nil; {
		var err error
		s.cutting.Lock()
		more, err = s.fillBallast()
		s.cutting.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
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
		if busy := s.stats.Appended.Load() > appended; busy && s.Health().Debt < 0.5 {
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
