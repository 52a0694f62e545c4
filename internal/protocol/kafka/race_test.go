//go:build race

package kafka

// raceDetector: it makes pools forget, so allocations mean nothing.
const raceDetector = true
