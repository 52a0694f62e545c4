package store

import "sync/atomic"

// Stats counts what the store has done since Open. The counters only grow and
// may be read at any time.
type Stats struct {
	// Appends is the calls of Append, Appended the bytes that they put into the
	// WAL, Flushes the steps in which those were written, with one sync each.
	Appends, Appended, Flushes atomic.Uint64
	// TailReads and FileReads are the bytes that Read served from memory and
	// from files.
	TailReads, FileReads atomic.Uint64
	// PiecesRead is the bytes of files that were read into memory which readers
	// share.
	PiecesRead atomic.Uint64
	// IndexWritten, RewriteRead, RewriteWritten and CheckpointWritten are the
	// bytes that stood beside the one write of every record.
	IndexWritten, RewriteRead, RewriteWritten, CheckpointWritten atomic.Uint64
	// Checkpoints and Rewrites were finished; FilesFreed were given back.
	Checkpoints, Rewrites, FilesFreed atomic.Uint64
	// Compactions of a partition were finished, and have removed Compacted bytes
	// of records.
	Compactions, Compacted atomic.Uint64
	// Settled is the bytes of settled records that rewrites have left behind.
	Settled atomic.Uint64
	// LastCompaction is when the last one was finished, in ms since the Unix
	// epoch; 0: none yet. DirtyPermille is the largest share of uncompacted bytes
	// that any compacted partition had, in thousandths, as of the last look.
	LastCompaction, DirtyPermille atomic.Int64
}

// Usage is what the store holds at this moment.
type Usage struct {
	// WALFiles and SegmentFiles are numbers of files, WALBytes, SegmentBytes
	// and IndexBytes their sizes.
	WALFiles, SegmentFiles             int
	WALBytes, SegmentBytes, IndexBytes int64
	// Wanted is the bytes of records that partitions still want.
	Wanted int64
	// Tail is the bytes of entries in memory.
	Tail int64
	// Partitions have records here.
	Partitions int
}

// Stats returns the counters.
func (s *Store) Stats() *Stats {
	s.stats.Flushes.Store(s.lane.Steps())
	return &s.stats
}

// Usage looks at what is held; its cost grows with the number of files.
func (s *Store) Usage() Usage {
	var u Usage
	for _, f := range s.files.all() {
		u.Wanted += f.live.Load()
		f.mu.Lock()
		if f.index != nil {
			u.IndexBytes += f.index.Size
		}
		f.mu.Unlock()
		if f.level > 0 {
			u.SegmentFiles++
			u.SegmentBytes += f.info.DataLen
		}
	}
	u.WALFiles = s.lane.Space().Files
	u.WALBytes = int64(u.WALFiles) * s.o.WALFileSize
	u.Tail, _ = s.lane.Recent()
	s.partitions.mu.RLock()
	u.Partitions = len(s.partitions.byID)
	s.partitions.mu.RUnlock()
	return u
}
