package group

import (
	"iter"

	"github.com/polylog-mq/polylog/internal/record"
)

// State is all groups of a shard. It belongs to the shard's loop.
type State struct{}

// New returns a state without groups.
func New() *State { return &State{} }

// Apply carries out a command. Answers to waiting requests, that of this very
// command included, are appended to fx.
func (s *State) Apply(now record.LogTime, c Command, fx *Effects) Reply { panic("unfilled") }

// Tick judges the deadlines that have passed, a bounded number at a time; with
// hold no offset expires. It is to be called after the commands of every entry.
func (s *State) Tick(now record.LogTime, hold bool, fx *Effects) { panic("unfilled") }

// NextDeadline returns when the next Tick has something to do.
func (s *State) NextDeadline() (record.LogTime, bool) { panic("unfilled") }

// Settings returns those in force.
func (s *State) Settings() Settings { panic("unfilled") }

// Heartbeat judges a heartbeat: nil, ErrRebalanceInProgress (a sign of life all
// the same), ErrUnknownMember, ErrIllegalGeneration or ErrFencedInstance.
func (s *State) Heartbeat(group, member, instance string, generation int32) error { panic("unfilled") }

// Session is what the leader must know of a member to watch over it.
type Session struct {
	// Timeout in ms.
	Timeout int32
	// Seen moves with every join and sync of the member in the log.
	Seen uint64
	// New: the member has not been told its id yet, so it cannot heartbeat; it
	// may wait for its first join as long as it likes, within NewMemberTimeout.
	New bool
}

// Session returns that of a member; false if there is no such member.
func (s *State) Session(group, member string) (Session, bool) { panic("unfilled") }

// Members iterates over the members of all groups.
func (s *State) Members() iter.Seq2[string, string] { panic("unfilled") }

// Offset is a committed offset.
type Offset struct {
	Topic     record.TopicID
	Partition int32
	Offset    record.Offset
	Epoch     record.Epoch // -1 if unknown
	Metadata  string
}

// Offset returns what a group has committed for a partition.
func (s *State) Offset(group string, topic record.TopicID, partition int32) (Offset, bool) {
	panic("unfilled")
}

// Offsets iterates over all that a group has committed, ordered by topic id and
// partition.
func (s *State) Offsets(group string) iter.Seq[Offset] { panic("unfilled") }

// Topics iterates over the ids of the topics that any group has offsets for, in
// ascending order.
func (s *State) Topics() iter.Seq[record.TopicID] { panic("unfilled") }

// Phase is the state of a group, with Kafka's names.
type Phase uint8

// The phases of a group. Dead is a group that does not exist.
const (
	Empty Phase = iota
	PreparingRebalance
	CompletingRebalance
	Stable
	Dead
)

// Summary is a line of a list of groups.
type Summary struct {
	Group, ProtocolType string
	Phase               Phase
}

// Groups iterates over all groups, ordered by name.
func (s *State) Groups() iter.Seq[Summary] { panic("unfilled") }

// Description is a group with its members. Its bytes are shared with the state.
type Description struct {
	Summary
	Generation int32
	// Protocol is the assignment protocol; only a Stable group shows it.
	Protocol string
	Members  []Member
}

// Member is a member of a Description.
type Member struct {
	Member, Instance, ClientID, ClientHost string
	// Metadata and Assignment are shown by a Stable group only.
	Metadata, Assignment []byte
}

// Describe describes a group; false if there is none.
func (s *State) Describe(group string) (Description, bool) { panic("unfilled") }

// Freeze begins a checkpoint: see internal/page.
func (s *State) Freeze() { panic("unfilled") }

// EncodePages emits pages of the cut, a nil value for a page that is gone, until
// more returns false or all are emitted, and reports whether all are. The slices
// belong to the receiver.
func (s *State) EncodePages(emit func(key, value []byte), more func() bool) (done bool) {
	panic("unfilled")
}

// LoadPage takes a page of a checkpoint, in any order, into a new State. It keeps
// no reference to the slices. Its error is an ErrMalformed.
func (s *State) LoadPage(key, value []byte) error { panic("unfilled") }

// Loaded ends the loading: it checks that the pages belong together.
func (s *State) Loaded() error { panic("unfilled") }
