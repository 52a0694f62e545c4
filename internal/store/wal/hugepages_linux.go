package wal

import "syscall"

// preferLarge asks for large pages, of which a chunk that is written, read and
// handed to the disk over and over needs two instead of a thousand. A kernel that
// has none for it says so, which changes nothing.
func preferLarge(b []byte) { _ = syscall.Madvise(b, syscall.MADV_HUGEPAGE) }
