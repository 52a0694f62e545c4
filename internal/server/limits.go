package server

import "time"

const (
	// drainTime is how long requests under way may take to be answered once the
	// server stops. What is left then, of the broker and after it of HTTP, is given
	// closeTime to end; together they stay under a second.
	drainTime = 600 * time.Millisecond
	closeTime = 150 * time.Millisecond

	// freePortTries is how often a port is looked for that is free on both
	// addresses of localhost.
	freePortTries = 8

	// Limits of the HTTP listener.
	httpHeaderTime  = 5 * time.Second
	httpIdleTime    = 2 * time.Minute
	httpHeaderBytes = 32 << 10

	// memoryShare is the part of a container's memory limit that the garbage
	// collector may let the heap grow to.
	memoryShare = 0.9
	// garbageBytes is about how much garbage the heap may hold before it is
	// collected, but no less than leastGarbage percent of what is in use and no more
	// than mostGarbage.
	garbageBytes = 24 << 20
	leastGarbage = 20
	mostGarbage  = 200
)
