//go:build !unix

package wal

// mapMemory returns memory of the Go heap, where this program knows no other.
func mapMemory(n int) []byte { return aligned(n) }

func unmapMemory([]byte) {}
