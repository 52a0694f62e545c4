// Package clock is the seam through which everything above pure state sees
// time, so that the simulator can own it.
package clock

import "time"

// Clock tells wall and monotonic time and runs functions later. All methods
// may be called concurrently.
type Clock interface {
	// Now returns wall time; it can jump.
	Now() time.Time
	// Mono returns the time since an arbitrary fixed moment; it never goes
	// back.
	Mono() time.Duration
	// AfterFunc runs f in its own goroutine (the simulator: as its own event)
	// once d has passed.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is a function that waits to run.
type Timer interface {
	// Stop keeps the function from running; false if it has started already.
	Stop() bool
	// Reset makes the function run d from now, whether or not it ran before.
	Reset(d time.Duration) bool
}

// System returns the machine's clock.
func System() Clock { return &system{start: time.Now()} }

type system struct{ start time.Time }

func (s *system) Now() time.Time      { return time.Now() }
func (s *system) Mono() time.Duration { return time.Since(s.start) }

func (s *system) AfterFunc(d time.Duration, f func()) Timer {
	return time.AfterFunc(d, f)
}
