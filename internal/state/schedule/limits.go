package schedule

// Limits.
const (
	// bucketSpan is how many ms a bucket covers. It is part of the format.
	bucketSpan = 1 << 17
	// chunkEntries bounds a page.
	chunkEntries = 1024
	// maxChunks bounds the pages of a bucket.
	maxChunks = 1 << 20
	// firePerTick bounds what one entry of the log sets free.
	firePerTick = 4096
	// maxTime is later than any time an entry can have, in ms.
	maxTime = 1 << 56

	// pageVersion begins the value of every page.
	pageVersion = 1
)
