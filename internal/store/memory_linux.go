package store

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"
)

// memory is a block of the operating system's, outside the heap that the garbage
// collector looks after and lets grow to twice of what is in use. It is made of
// pages of 2 MiB where the system has them: a direct read then hands the disk a
// few long pieces of memory instead of 256 short ones, and who goes through it
// misses fewer translations of addresses.
type memory struct{ b []byte }

const hugePage = 2 << 20

// newMemory returns n bytes that take no room until they are written. They are
// given back when the memory is no longer referred to; until then who has a part
// of it must also have it. Where there is none left the process ends, as it does
// when the Go heap cannot grow.
func newMemory(n int64) *memory {
	all, err := syscall.Mmap(-1, 0, int(n)+hugePage, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("out of memory: mapping %d bytes: %v", n, err))
	}
	skip := int64(-uintptr(unsafe.Pointer(unsafe.SliceData(all))) & (hugePage - 1))
	m := &memory{all[skip : skip+n]}
	_ = syscall.Madvise(m.b, syscall.MADV_HUGEPAGE) // a kernel without is one with small pages
	runtime.AddCleanup(m, func(b []byte) { _ = syscall.Munmap(b) }, all)
	return m
}

// rest gives what a part of it takes back to the system until it is written again.
func (m *memory) rest(b []byte) { _ = syscall.Madvise(b, syscall.MADV_DONTNEED) }
