// Package wal is the write-ahead log of one node: a lane of fixed-size files
// that every Raft group of the node shares, so that one fdatasync serves them
// all (DESIGN §4 "WAL"; the bytes are drawn in docs/format/wal.md).
//
// Append queues, Flush writes what is queued and syncs once; whatever arrives
// while a flush runs waits for the next one. There is no timer and no
// goroutine: Run is a thin driver around Flush and Fill, and a simulator calls
// the two itself. A file nobody wants goes back to a pool with Free and is
// later overwritten, not recreated.
package wal
