package wire

const (
	// MaxTags is the number of tagged fields that one structure may carry. The
	// protocol defines a handful; what it does not define is skipped.
	MaxTags = 64

	// maxKeptOutput is the most scratch memory, in bytes, that an Output keeps
	// from one flush to the next.
	maxKeptOutput = 64 << 10
)

// frameSizes are those, in bytes, in which frame buffers are pooled; what is
// larger is left to the garbage collector. The larger ones leave room for a
// request around a power of two of records, which is how clients size batches.
var frameSizes = [...]int{
	4 << 10, 16 << 10, 68 << 10, 132 << 10, 260 << 10, 516 << 10, 1028 << 10, 1540 << 10, 2056 << 10, 3084 << 10, 4112 << 10, 6168 << 10, 8224 << 10,
}
