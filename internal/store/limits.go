package store

const (
	// DefaultTailBytes bounds the entries kept in memory unless chosen
	// otherwise.
	DefaultTailBytes = 64 << 20
	// DefaultCheckpointBytes is how much WAL a recovery reads at most, about,
	// unless chosen otherwise.
	DefaultCheckpointBytes = 256 << 20
)
