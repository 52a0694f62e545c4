package record

const (
	// MaxInflated is the most bytes that the records of one batch may occupy
	// once decompressed. A batch beyond it is stored and served as it is; only
	// what must look inside (Records) refuses it.
	MaxInflated = 64 << 20

	// maxZstdWindow bounds what a zstd frame may ask for before its first byte
	// of output: clients use windows of up to 8 MiB, `--long` ones more.
	maxZstdWindow = 32 << 20

	// maxPooledBuffer is the largest decompression buffer that is kept for
	// reuse.
	maxPooledBuffer = 4 << 20
)
