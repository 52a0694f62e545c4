package group

// Limits. Times are in milliseconds.
const (
	// MaxGroups is how many groups a shard keeps.
	MaxGroups = 1 << 20
	// MaxName bounds the ids of groups, members, instances and clients, and the
	// names of protocols, in bytes.
	MaxName = 1 << 15
	// MaxMetadata bounds the subscriptions of one member, in bytes.
	MaxMetadata = 1 << 20
	// MaxAssignment bounds the assignment of one member, in bytes.
	MaxAssignment = 1 << 20
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
)
