// Package store is the durable log of one node: the Raft logs of all its
// groups and the records of all its partitions (DESIGN §4 "Bytes").
//
// Bytes are written once, into the WAL lane that all groups share (package
// wal). What apply makes of an entry is a list of runs, "these records of this
// partition lie here"; a sealed WAL file whose entries are all applied is
// already a segment, found through its run index (package segment). Rewrite
// turns such files into level 1 files when that pays, and returns files with
// nothing wanted in them to the WAL's pool. A checkpoint (package checkpoint)
// makes one cut of everything: applied indexes, pages of state, and the set of
// files.
//
// The store is passive. Flush, Checkpoint, Rewrite and ReadAhead do their work in
// the caller's goroutine, so that a simulator can own every step; Run drives the
// parts that need no one's decision.
//
// # Compaction
//
// SetCompaction says, from apply, how far a partition may be compacted. What a
// checker may assume of a compacted partition, on every member and at any
// moment, a crash included:
//
//   - A record is as it was written, at its offset, or it is not there. Batches
//     keep the offsets that they span.
//   - A record is missing only if it lies below Below as some applied entry has
//     set it, and a later record of its key lies below it too; or if its
//     transaction was aborted; or if it is a tombstone, or the marker of a
//     commit with no other record left, that was allowed to be compacted at least
//     DeleteRetention before; or if it has no key.
//   - That holds for the state of the durable checkpoint alone: what replaces a
//     missing record is covered by it.
//   - Bounds, and everything that state keeps (floors, watermarks, epochs,
//     aborted transactions), do not change by it. Members differ in what they have
//     compacted; to compare them, compare the last record of each key below the
//     smallest Below, leaving out tombstones, and everything above the largest.
//
// # Settled records
//
// SetSettled says that a partition is a queue that need not keep what is settled
// in it. A rewrite then leaves out records that the pages of the durable
// checkpoint call settled. Everything else holds as for compaction; the last
// record of a partition stays, and so do the markers of transactions.
//
// # Order
//
// A file is wanted while it holds an entry above its group's durable
// checkpoint or compacted index, a live run, or runs that are not yet indexed
// durably. The order is always: run index synced, checkpoint synced, Raft log
// compacted, file freed.
package store
