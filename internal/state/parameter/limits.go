package parameter

// Limits of what the state holds and of what its decoders accept.
const (
	// MaxParameters bounds a cluster.
	MaxParameters = 1 << 14
	// MaxNameLen bounds the words of a key, in bytes.
	MaxNameLen = 255
	// MaxValueLen bounds a value, in bytes.
	MaxValueLen = 64 << 10

	// pageVersion begins the value of every checkpoint page.
	pageVersion = 1
)
