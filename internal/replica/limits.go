package replica

import "time"

// MaxEntryBytes bounds what a group appends to its log at a time: a proposal as
// large as may be, and what frames it.
const MaxEntryBytes = maxProposalBytes + 1<<20

const (
	// maxProposalBytes bounds one proposal; more is ErrTooLarge. It has room for
	// the largest message of RabbitMQ, 16 MiB, and its headers.
	maxProposalBytes = 17 << 20
	// maxHostBytes bounds the proposals that all groups of a host hold.
	maxHostBytes = 128 << 20
	// maxUncommittedBytes is when Raft drops proposals. The window of entries
	// in flight closes long before.
	maxUncommittedBytes = 64 << 20

	// maxMessageBytes bounds the entries of one message to a follower, which
	// may have maxInflightMessages and maxInflightBytes of them unanswered.
	maxMessageBytes     = 1 << 20
	maxInflightMessages = 256
	maxInflightBytes    = 16 << 20
	// maxApplyBytes bounds the entries applied in one go, maxRounds the goes
	// of one group before others get their turn.
	maxApplyBytes = 4 << 20
	maxRounds     = 4

	// maxInboxMessages and maxInboxBytes bound the messages of other members
	// that wait for a loop; those beyond are dropped, as a network may.
	maxInboxMessages = 4096
	maxInboxBytes    = 64 << 20
	// maxReads bounds the ReadIndex requests of a group that wait.
	maxReads = 4096

	// maxSpareBodies is how many bytes of memory of entries a loop keeps for use
	// again; bodyStep is what their sizes are multiples of.
	maxSpareBodies = 8 << 20
	bodyStep       = 64 << 10
	// poison is what it is overwritten with where tests ask for that (tuning.poison):
	// no version of an entry.
	poison = 0xDB

	// tickInterval is Raft's unit of time. A follower that hears nothing for
	// electionTicks to twice that campaigns; a read that hears nothing for
	// readTicks is given up.
	tickInterval   = 100 * time.Millisecond
	electionTicks  = 10
	heartbeatTicks = 1
	readTicks      = 2 * electionTicks
	// stuckTicks is how long a leader that commits nothing keeps its callers
	// waiting: it has a majority that answers, but cannot write.
	stuckTicks = 10 * electionTicks

	// minTickSpacing keeps a state machine whose deadline stays in the past
	// (expiry may be held) from ticking without end.
	minTickSpacing = time.Second
	// maxDeadlineWait is how long a timer waits at most before it looks again,
	// in milliseconds.
	maxDeadlineWait = 24 * 60 * 60 * 1000

	// A caller steps a loop itself if at most mostHelped events wait, and the
	// latest step has answered at most fewAnswered times as many.
	mostHelped  = 128
	fewAnswered = 4

	// restTime is how long nothing is written before the log counts as idle.
	restTime = 10 * time.Millisecond

	// Callers are waited for to come back (round) after a commit that answered
	// leastRound to mostRound of them, for at most roundTime; after trials that
	// failed, up to mostSkipped commits are not tried.
	leastRound  = 8
	mostRound   = 256
	roundTime   = 500 * time.Microsecond
	mostSkipped = 1024

	// encodeSlice is how long a loop encodes pages of a checkpoint before it
	// looks after its groups again.
	encodeSlice = 2 * time.Millisecond
	// cutRetry is when a checkpoint is tried again that found no room on the
	// disk.
	cutRetry = time.Second

	// promoteLag is how many entries a learner may be behind to be promoted.
	promoteLag = 64

	// snapshotDataBytes bounds the records in one message of a snapshot.
	snapshotDataBytes = 1 << 20
	// snapshotRate is how fast one member fetches snapshots, in bytes per tick
	// and group.
	snapshotRate = 8 << 20
	// snapshotRetryTicks is how long an answer is waited for before another
	// member is asked.
	snapshotRetryTicks = 5
	// snapshotIdleTicks is after how long a member that shows no sign of
	// fetching the snapshot it was offered is offered another.
	snapshotIdleTicks = 50
	// snapshotAliveTicks is how often such a sign is given.
	snapshotAliveTicks = 10
	// maxServing bounds the questions of other members that wait to be
	// answered; those beyond are dropped, and asked again.
	maxServing = 64
	// maxPageSessions bounds the checkpoints held open for others to read,
	// pageSessionIdle how long an unused one is.
	maxPageSessions = 8
	pageSessionIdle = 10 * time.Second
)

// tuning are the limits that tests move.
type tuning struct {
	// entryBytes is when the gathering of proposals for an entry stops.
	entryBytes int
	// entriesInFlight and bytesInFlight bound the entries of a group that are
	// proposed and not yet applied; of those smaller than worthBytes there are
	// at most smallInFlight, and one in a group with one member.
	entriesInFlight int
	bytesInFlight   int
	worthBytes      int
	smallInFlight   int
	// flushHere is how many bytes a loop that is alone flushes itself.
	flushHere int
	// uncommittedBytes is Raft's own limit.
	uncommittedBytes uint64
	// groupBytes bounds the proposals that a group holds.
	groupBytes int64
	// keepBytes is how much log below its checkpoint a group with other
	// members keeps for those that lag; keepLeaderBytes is how much a leader
	// keeps for a member that it knows to lag.
	keepBytes       uint64
	keepLeaderBytes uint64
	// pageBytes bounds the pages in one message of a snapshot.
	pageBytes int
	// poison overwrites the memory of entries that is to be used again, so that
	// who still looks at it is found out.
	poison bool
}

func defaultTuning() tuning {
	return tuning{
		entryBytes:       1 << 20,
		entriesInFlight:  8,
		bytesInFlight:    8 << 20,
		worthBytes:       64 << 10,
		smallInFlight:    4,
		flushHere:        64 << 10,
		uncommittedBytes: maxUncommittedBytes,
		groupBytes:       32 << 20,
		keepBytes:        4 << 20,
		keepLeaderBytes:  64 << 20,
		pageBytes:        256 << 10,
	}
}
