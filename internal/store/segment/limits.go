package segment

const (
	// MaxDataSize bounds a level 1 data file, since positions are 32 bits
	// wide.
	MaxDataSize = 1 << 30
	// MaxBlockRuns bounds the runs of an index block; a block that claims more
	// is damaged.
	MaxBlockRuns = 4096

	blockBytes   = 4 << 10 // a block is closed once its encoding holds this much
	writeBuffer  = 1 << 20 // data files are written in pieces of this size
	indexBuffer  = 64 << 10
	bytesPerSync = 4 << 20 // write-back of a data file is asked for at this pace
	maxSection   = 1 << 30 // a section that claims more is damaged
)
