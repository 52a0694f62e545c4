//go:build race

package replica

// raceDetector: it makes pools forget, so allocations mean nothing.
const raceDetector = true
