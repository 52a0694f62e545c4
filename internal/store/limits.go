package store

import "time"

const (
	// DefaultTailBytes bounds the entries kept in memory unless chosen
	// otherwise.
	DefaultTailBytes = 64 << 20
	// DefaultCheckpointBytes is how much WAL a recovery reads at most, about,
	// unless chosen otherwise.
	DefaultCheckpointBytes = 256 << 20

	// checkpointEntries is how many entries may follow a checkpoint, since
	// memory holds a little of each.
	checkpointEntries = 256 << 10

	// checkpointRuns is how many runs may be added in between: those of a file that
	// is whole leave memory with a checkpoint.
	checkpointRuns = 512 << 10

	// maxLent is how many bytes of memory results may hold of what has left the
	// tail, before others copy what they take of it: a slow reader of a few bytes
	// holds a whole chunk (docs/adr/0012-copies-and-checksums.md).
	maxLent = 32 << 20

	maxHandles = 64      // segment and index files kept open for reading
	cacheBytes = 4 << 20 // decoded index blocks kept

	// Reading.
	copyBytes   = 512              // a batch in memory up to this size is copied whole rather than split (docs/adr/0008-run-index.md)
	arenaBytes  = 4 << 10          // the first piece of memory a Result takes for copies
	pieceRuns   = 256              // runs in memory are kept in pieces of so many
	fillRuns    = 64               // runs looked up under a partition's lock at a time
	gapBytes    = 4 << 10          // runs of a file closer than this are read in one go
	maxReadSize = 4 << 20          // one read call asks for no more, unless a single batch is larger
	maxRetries  = 16               // look-ups of a run whose file is being replaced
	directBytes = 128 << 10        // what is less than this is always read through the page cache
	lookBytes   = 64 << 10         // see file.looked
	maxLooked   = 1024             // pieces of a file remembered there
	pieceBytes  = 1 << 20          // see pieces
	maxShared   = 1024             // those behind are not shared
	maxPieces   = 24               // with the size above: 24 MiB
	askedPieces = 64               // pieces not in memory of which it is known what was wanted lately
	worthShare  = 16               // of a piece a 16th must be wanted for it to be read
	longShare   = 2                // where runs are half as long as a piece on average each is one by itself
	aheadBytes  = 1 << 20          // of them read ahead for a reader, at most
	yieldSpan   = 8                // pieces over which what was wanted of them is averaged
	patience    = 512              // uses of pieces for which one waits for those who are behind
	pinShare    = 8                // a result that takes less than an 8th of a piece copies it and lets go
	maxJoined   = 4                // a batch over more pieces than this is read for one reader alone
	cachedAhead = 4                // so many are read into the page cache when one that was there once is wanted again
	askedCached = 64               // of them, about which the kernel was asked lately
	aheadPieces = 8                // so many pieces are read ahead of who reads on and on
	restAfter   = 30 * time.Second // without a use of the pieces their memory is given up
	aheadReads  = 2                // of them at a time
	findBytes   = 1 << 20          // records looked through at a time in a search by time

	// An import begins another file beyond these.
	importBytes = 256 << 20
	importRuns  = 128 << 10

	// Rewriting. A step reads no more than a window; an output file of several
	// partitions ends once it holds rewriteBytes, and a rewrite takes files
	// with no more than that. Bodies with several targets are remembered up to
	// maxMoved.
	rewriteBytes = 512 << 20
	windowBytes  = 16 << 20
	windowRuns   = 64 << 10
	rewriteChunk = 1 << 20
	maxMoved     = 1 << 20
	// settledAhead is how many offsets of a partition are looked up at a time.
	// Less than one record in sharedShare must be wanted of a run for which its
	// body is not shared any more with other partitions.
	settledAhead = 64 << 10
	sharedShare  = 16

	// DefaultCompactionBytes is the memory for the keys of the partition that is
	// being compacted, unless chosen otherwise: some 4.4 million keys. More keys
	// than fit are compacted in several rounds.
	DefaultCompactionBytes = 128 << 20
	// freeSlots: one in so many of a keyMap stays free.
	freeSlots = 5

	// startDelay is how long background work waits after a start. diskInterval is how often a full disk is looked at, retryInterval how long
	// a rewrite that failed waits.
	startDelay    = 3 * time.Second
	diskInterval  = 2 * time.Second
	retryInterval = 30 * time.Second

	rewriteStep = 2 << 20 // what Run does between two looks at the produce traffic

	// The ballast, how it is written, and what a checkpoint needs beside its
	// pages.
	ballastBytes   = 32 << 20
	ballastPiece   = 1 << 20
	checkpointRoom = 8 << 20

	// deadBytes is how much a checkpoint must free to be worth while for that
	// alone.
	deadBytes = 64 << 20

	// Unless Options say otherwise, a disk is full below this room, and nearly
	// full below the other: a share of it, but no more than a number of bytes.
	fullShare, fullBytes = 25, 1 << 30
	warnShare, warnBytes = 10, 8 << 30
)
