package txn

// Limits. Times are in milliseconds.
const (
	// MaxTimeout bounds the time that a producer may ask for
	// (transaction.max.timeout.ms).
	MaxTimeout = 15 * 60_000
	// MaxIDs is how many transactional ids a shard keeps.
	MaxIDs = 1 << 18
	// MaxTargets bounds the partitions and the groups of one transaction.
	MaxTargets = 1 << 14
	// MaxName bounds the names of transactional ids, topics and groups, in
	// bytes.
	MaxName = 1 << 15

	// ExpiryMs is how long a transactional id is kept after its last transaction
	// (transactional.id.expiration.ms).
	ExpiryMs = 7 * 24 * 60 * 60_000
	// holdPause is how long no id expires after a tick that says so.
	holdPause = 60_000
	// maxTick is how many transactional ids one tick judges.
	maxTick = 1024
	// lastEpoch is the largest epoch that a client gets; the one above it is
	// left for fencing.
	lastEpoch = 1<<15 - 2
	// pageVersion begins the value of every page.
	pageVersion = 1
)
