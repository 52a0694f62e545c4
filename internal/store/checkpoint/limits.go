package checkpoint

const (
	// A checkpoint is written in one batch and read once per start, so little
	// memory serves. The cache holds the blocks of one compaction.
	cacheBytes    = 1 << 20
	memTableBytes = 1 << 20
	maxOpenFiles  = 64
)
