package wire

const (
	// MaxTags is the number of tagged fields that one structure may carry. The
	// protocol defines a handful; what it does not define is skipped.
	MaxTags = 64

	// The sizes, in bytes, in which frame buffers are pooled; what is larger is
	// left to the garbage collector.
	smallFrame  = 4 << 10
	mediumFrame = 128 << 10
	largeFrame  = 1<<20 + smallFrame // a client's batch.size of 1 MiB with its request around it

	// maxKeptOutput is the most scratch memory, in bytes, that an Output keeps
	// from one flush to the next.
	maxKeptOutput = 64 << 10
)
