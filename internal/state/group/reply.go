package group

// Reply answers a command. Byte slices in it are shared with the state: they are
// never changed, and must not be.
type Reply struct {
	// Waiting: a join or sync has to wait, an effect will answer it. The other
	// fields are then empty.
	Waiting bool
	// Err answers every command but a Join and a Sync, whose replies have their
	// own.
	Err  error
	Join JoinReply
	Sync SyncReply
	// Each has one error per leaver or per topic.
	Each []error
}

// JoinReply answers a Join.
type JoinReply struct {
	Err          error
	Generation   int32 // -1 on error
	ProtocolType string
	Protocol     string
	Leader       string
	// Member is the member's id; with ErrMemberIDRequired the one to join with.
	Member string
	// SkipAssignment tells a leader that came back to leave the assignment as
	// it is.
	SkipAssignment bool
	// Members is the whole group with its subscriptions for Protocol; only the
	// leader gets it.
	Members []JoinMember
}

// JoinMember is a member as the leader sees it.
type JoinMember struct {
	Member, Instance string
	Metadata         []byte
}

// SyncReply answers a Sync.
type SyncReply struct {
	Err          error
	ProtocolType string
	Protocol     string
	Assignment   []byte
}

// Effects collects the answers to waiting requests, in a fixed order.
type Effects struct {
	Joined []Joined
	Synced []Synced
}

// Joined answers the waiting join of a member.
type Joined struct {
	Group, Member string
	Reply         JoinReply
}

// Synced answers the waiting sync of a member.
type Synced struct {
	Group, Member string
	Reply         SyncReply
}

// Reset empties the collection for its next use.
func (e *Effects) Reset() {
	clear(e.Joined)
	clear(e.Synced)
	e.Joined, e.Synced = e.Joined[:0], e.Synced[:0]
}
