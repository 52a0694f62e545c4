//go:build unix

package wal

import (
	"fmt"
	"syscall"
)

// mapMemory returns memory of the operating system. Where there is none left
// the process ends, as it does when the Go heap cannot grow.
func mapMemory(n int) []byte {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("out of memory: mapping %d bytes: %v", n, err))
	}
	preferLarge(b)
	return b
}

func unmapMemory(b []byte) {
	if err := syscall.Munmap(b); err != nil {
		panic(fmt.Sprintf("unmapping %d bytes: %v", len(b), err))
	}
}
