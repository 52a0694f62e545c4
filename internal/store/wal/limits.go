package wal

const (
	// DefaultFileSize is the size of a file unless chosen otherwise.
	DefaultFileSize = 64 << 20
	// MinFileSize is the smallest file size Open accepts. Sizes are multiples
	// of 4 KiB.
	MinFileSize = 16 << 10
	// MaxHardState bounds the body of a hard state frame, since every file
	// repeats one per group.
	MaxHardState = 64
	// MaxGroups bounds the groups of a lane, so that the hard states at the
	// head of a file leave room for frames.
	MaxGroups = 1024

	stepBytes = 4 << 20 // a flush takes no more batches once it holds this much
	// A chunk has chunkBytes, or one part in chunkShare of what is kept if that is
	// less, or what a larger frame needs. spareChunks are kept for use again.
	chunkBytes  = 4 << 20
	chunkShare  = 16
	leastChunk  = 16 << 10
	spareChunks = 4
	// A write of less than aheadBelow that goes where a file was never written
	// takes zeros along up to the next multiple of aheadBytes.
	aheadBelow = 64 << 10
	aheadBytes = 256 << 10
	// sumAhead is from how many bytes on the checksum of a body is taken by
	// Append. (To combine two checksums takes as long as one over 5 KB.)
	sumAhead  = 8 << 10
	fillChunk = 1 << 20 // what one call of Fill, or of erasing a torn tail, writes
	// Fill leaves one such part of what it takes free on the disk: of a whole
	// file, what the store needs to write a checkpoint.
	fillHeadroom = 8
	maxHandles   = 64             // sealed files kept open for reading
	readAhead    = 1 << 20        // what recovery reads at once
	endRoom      = 2 * headerSize // at the end of a file, for a mark and the seal
	pageSize     = 4096           // writes end on a page boundary, so that no page is read back first
	maxFileSize  = 1 << 30        // offsets within an entry are 32 bits wide
)

// MaxBody returns the largest frame body that a lane of the given file size
// takes: half a file, so that a frame and the head of its file always fit
// together. A frame never spans files.
func MaxBody(fileSize int64) int { return int(fileSize / 2) }
