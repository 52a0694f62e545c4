//go:build race

package store

// raceDetector: it makes pools forget, so allocations mean nothing.
const raceDetector = true
