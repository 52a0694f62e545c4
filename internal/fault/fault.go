// Package fault names the bugs that are planted in the product to see whether
// the simulator finds them. Without the build tag "planted" On is a constant
// false, and the compiler leaves nothing of them behind.
package fault

// Bug is a planted bug. The comment says where it bites.
type Bug uint8

// The bugs.
const (
	None Bug = iota
	// AckBeforeSync acknowledges what was written and not synced (store/wal).
	AckBeforeSync
	// DropTail forgets the last entry of every log at a restart (store).
	DropTail
	// LoseLog forgets at a restart all entries above the checkpoint and votes on
	// (store).
	LoseLog
	// RecycleEarly gives back WAL files whose records are still wanted (store).
	RecycleEarly
	// CheckpointAhead lets recovery begin behind entries that no checkpoint
	// covers (store).
	CheckpointAhead
	// SkipChecksum delivers sealed records without a look at their checksum
	// (store).
	SkipChecksum
	// BelowFloor delivers records that were deleted (broker, store).
	BelowFloor
	// SkipDedup appends repeated batches of idempotent producers again (broker).
	SkipDedup
	// ForgetDedup restores shards without what producers have sent (broker).
	ForgetDedup
	// ReorderBatches swaps the first two batches that a partition gets in one
	// entry (broker).
	ReorderBatches
	// LowWatermark shows a high watermark that is one too low (broker).
	LowWatermark
	// HighWatermark shows one that is one too high (broker).
	HighWatermark
	// LoseOffset answers now and then a commit of offsets that it forgets
	// (broker).
	LoseOffset
	// ZombieCommit takes commits of members that the group has left behind
	// (broker).
	ZombieCommit
	// StaleRead answers with committed offsets without asking the majority
	// (broker).
	StaleRead
	// GreedyRetention keeps half of what it must (broker).
	GreedyRetention
	// ForgetVote forgets at a restart whom a member has voted for (replica).
	ForgetVote
	// PoisonCommand panics when a client commits for a partition that cannot be
	// (broker).
	PoisonCommand
	// LoseDecision forgets, when leadership changes, the transactions whose fate
	// is decided and not yet known everywhere (broker).
	LoseDecision
	// StableAhead lets readers of committed data read one record of the oldest
	// open transaction (broker).
	StableAhead
	// ForgetAborted restores partitions without what was aborted in them
	// (state/topic).
	ForgetAborted
	// CompactDropsLatest lets compaction keep the first record of a key that it
	// meets, not the last (store).
	CompactDropsLatest
	// CompactIgnoresDirtyPoint compacts up to the end of the log, open
	// transactions and what is not durable included (store).
	CompactIgnoresDirtyPoint
	// LoseSettle answers now and then a settle that it forgets (state/lease).
	LoseSettle
	// ForgetRedelivered delivers after a change of leadership as if nothing had
	// been delivered before (state/lease).
	ForgetRedelivered
	// LoseReturned forgets the records that a session gives back when it ends
	// (state/lease).
	LoseReturned
	// GiveTwice gives some records to two consumers (state/lease).
	GiveTwice
	// LoseLetter settles some dead letters that it does not deliver (broker).
	LoseLetter
	// RepeatLetter delivers some dead letters twice (broker).
	RepeatLetter
	// DropUnsettled lets a rewrite leave behind the record after some that are
	// settled (store).
	DropUnsettled
	// EagerOwner hands over records of message groups and to single active
	// consumers before that is logged, and without asking whether it still leads
	// (broker).
	EagerOwner
	// ShortLease ends leases by time when half of it has passed (state/lease).
	ShortLease
	// BreakGroup gives some records although somebody has another of their group
	// (state/lease).
	BreakGroup
	// FireEarly delivers scheduled records when half of their time has passed
	// (broker).
	FireEarly
	// ForgetReturn does not count some of the returns (state/lease).
	ForgetReturn
	// KeepCancelled delivers scheduled records that were cancelled (broker).
	KeepCancelled
	// ForgetLast does not tell Raft, when it leads again, of the last entry that was
	// written without it (replica).
	ForgetLast
	end
)

var names = [...]string{
	"none", "ack-before-sync", "drop-tail", "lose-log", "recycle-early", "checkpoint-ahead", "skip-checksum",
	"below-floor", "skip-dedup", "forget-dedup", "reorder-batches", "low-watermark", "high-watermark", "lose-offset",
	"zombie-commit", "stale-read", "greedy-retention", "forget-vote", "poison-command", "lose-decision",
	"stable-ahead", "forget-aborted",
	"compact-drops-latest", "compact-ignores-dirty-point",
	"lose-settle", "forget-redelivered", "lose-returned", "give-twice", "lose-letter", "repeat-letter",
	"drop-unsettled",
	"eager-owner", "short-lease", "break-group", "fire-early", "forget-return", "keep-cancelled",
	"forget-last",
}

// String returns the bug's name.
func (b Bug) String() string { return names[b] }

// All lists the bugs.
func All() []Bug {
	var all []Bug
	for b := None + 1; b < end; b++ {
		all = append(all, b)
	}
	return all
}
