package replica

import (
	"time"

	"github.com/polylog-mq/polylog/internal/record"
)

const (
	// slewShare is the part of elapsed time by which log time may run faster
	// or slower to approach wall time: one tenth.
	slewShare = 10
	// gapPatience is how long log time may stay behind wall time before it
	// steps.
	gapPatience = time.Minute
	// bigStep is a step after which expiry is held for holdTime.
	bigStep  = time.Hour
	holdTime = 10 * time.Minute
)

// LogClock is the leader's source of log time (DESIGN §4 "Log time"): it
// advances with the monotonic clock, drawn towards wall time by at most a
// tenth, and steps, forward only, at Start or when wall time has been ahead
// for a minute. So a leap of the wall clock neither expires everything nor
// stops time. It is pure: every method is told wall and monotonic time. The
// zero value has not started.
type LogClock struct {
	at      int64         // log time at mono, in nanoseconds since the Unix epoch
	mono    time.Duration // of the latest reading
	gap     bool          // wall time is ahead beyond what slewing can close,
	gapAt   time.Duration // since this reading
	held    bool          // expiry is held
	heldTil time.Duration
}

// Start begins a reign: log time goes on from last, the latest that the
// group's log holds (0: none), or steps to wall time if that is later. It
// returns how far it stepped.
func (c *LogClock) Start(last record.LogTime, wall time.Time, mono time.Duration) (step time.Duration) {
	*c = LogClock{at: int64(last) * int64(time.Millisecond), mono: mono}
	if ahead := wall.UnixNano() - c.at; ahead > 0 {
		step = c.step(ahead)
	}
	if last == 0 {
		c.held = false
		return 0
	}
	return step
}

// Now reads the clock. It never returns less than before. step is how far it
// stepped at this reading, usually 0.
func (c *LogClock) Now(wall time.Time, mono time.Duration) (now record.LogTime, step time.Duration) {
	elapsed := max(mono-c.mono, 0)
	c.mono = max(mono, c.mono)
	ahead := wall.UnixNano() - (c.at + int64(elapsed))
	most := int64(elapsed) / slewShare
	slew := min(max(ahead, -most), most)
	c.at += int64(elapsed) + slew
	switch ahead -= slew; {
	case ahead <= 0:
		c.gap = false
	case !c.gap:
		c.gap, c.gapAt = true, c.mono
	case c.mono-c.gapAt >= gapPatience:
		step = c.step(ahead)
	}
	return record.LogTime(c.at / int64(time.Millisecond)), step
}

// Holding reports whether expiry and retention must delete nothing at present.
func (c *LogClock) Holding() bool {
	if c.held && c.mono >= c.heldTil {
		c.held = false
	}
	return c.held
}

// Hold begins, or begins anew, the time in which nothing is deleted.
func (c *LogClock) Hold() { c.held, c.heldTil = true, c.mono+holdTime }

func (c *LogClock) step(ahead int64) time.Duration {
	c.at += ahead
	c.gap = false
	d := time.Duration(ahead)
	if d > bigStep {
		c.Hold()
	}
	return d
}
