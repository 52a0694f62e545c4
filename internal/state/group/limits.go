package group

// Limits. Times are in milliseconds.
const (
	// MaxGroups is how many groups a shard keeps.
	MaxGroups = 1 << 20
	// MaxName bounds the ids of groups, members, instances and clients, and the
	// names of protocols, in bytes.
	MaxName = 1 << 15
	// MaxProtocols is how many assignment protocols a member may follow.
	MaxProtocols = 64
	// MaxLeavers is how many members may leave by one command.
	MaxLeavers = 4096
	// MaxMetadata bounds the subscriptions of one member, in bytes.
	MaxMetadata = 1 << 20
	// MaxAssignment bounds the assignment of one member, MaxAssignments that of
	// all members of a group together, in bytes.
	MaxAssignment  = 1 << 20
	MaxAssignments = 8 << 20
	// MaxOffsetMetadata bounds the text beside a committed offset, in bytes
	// (Kafka's offset.metadata.max.bytes).
	MaxOffsetMetadata = 4096

	// MinSessionTimeout and MaxSessionTimeout bound what a member may ask for
	// (group.min.session.timeout.ms, group.max.session.timeout.ms). The
	// proposer checks them.
	MinSessionTimeout = 6_000
	MaxSessionTimeout = 1_800_000
	// NewMemberTimeout is how long a member that does not know its id yet may
	// wait for its first generation; the leader then proposes Expire.
	NewMemberTimeout = 300_000

	// maxProducers is of how many producers a group remembers a transaction that
	// has ended, and maxPending how many offsets one transaction may commit.
	maxProducers = 1024
	maxPending   = 1 << 16
	// minRebalanceTimeout is the least that counts of what a member asks for, so
	// that a rebalance without a leader does not spin.
	minRebalanceTimeout = 1_000
	// maxReserved is how many member ids a group keeps for clients that have
	// yet to join with them.
	maxReserved = 4096
	// idleGroup is how long a group without members and offsets is kept.
	idleGroup = 600_000
	// expiryInterval is the least time between two looks at the offsets of a
	// group, which may so live longer than they have to
	// (offsets.retention.check.interval.ms).
	expiryInterval = 600_000
	// maxRetention keeps sums of times in range.
	maxRetention = 1 << 52
	// holdPause is how long nothing expires after a tick that says so.
	holdPause = 60_000
	// maxTick is how many groups one Tick judges.
	maxTick = 1024

	// pageEntries and pageBytes bound a page of offsets; a page begins no new
	// entry when it has reached either.
	pageEntries = 1024
	pageBytes   = 128 << 10
	// maxPages bounds the number of pages that a checkpoint may show.
	maxPages = 1 << 16
)
