package group

import (
	"iter"
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
)

// Heartbeat judges a heartbeat: nil, ErrRebalanceInProgress (a sign of life all
// the same), ErrUnknownMember, ErrIllegalGeneration or ErrFencedInstance.
func (s *State) Heartbeat(group, member, instance string, generation int32) error {
	g := s.groups[group]
	if g == nil {
		return ErrUnknownMember
	}
	if err := g.check(member, instance); err != nil {
		return err
	}
	switch {
	case generation != g.generation:
		return ErrIllegalGeneration
	case g.phase == PreparingRebalance:
		return ErrRebalanceInProgress
	}
	return nil
}

// Session is what the leader must know of a member to watch over it.
type Session struct {
	// Timeout in ms.
	Timeout int32
	// Seen moves with every join and sync of the member in the log.
	Seen uint64
	// New: the member has not been told its id yet, so it cannot heartbeat. It
	// may wait for its first generation for NewMemberTimeout.
	New bool
}

// Session returns that of a member; false if there is no such member.
func (s *State) Session(group, member string) (Session, bool) {
	g := s.groups[group]
	if g == nil || g.byID[member] == nil {
		return Session{}, false
	}
	m := g.byID[member]
	return Session{Timeout: m.session, Seen: m.seen, New: m.fresh}, true
}

// Members iterates over the members of all groups: group id, member id.
func (s *State) Members() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, g := range s.sorted() {
			for _, m := range g.members {
				if !yield(g.id, m.id) {
					return
				}
			}
		}
	}
}

// Offset is a committed offset.
type Offset struct {
	Topic     record.TopicID
	Name      string // of the topic, as the commit had it
	Partition int32
	Offset    record.Offset
	Epoch     record.Epoch // -1 if unknown
	Metadata  string
	// Unstable says that a transaction under way may yet replace it.
	Unstable bool
}

// Offset returns what a group has committed for a partition.
func (s *State) Offset(group string, topic record.TopicID, partition int32) (Offset, bool) {
	g := s.groups[group]
	if g == nil || g.topics[topic] == nil || g.topics[topic].parts[partition] == nil {
		return Offset{}, false
	}
	return g.topics[topic].parts[partition].export(), true
}

// Offsets iterates over all that a group has committed, ordered by topic id and
// partition.
func (s *State) Offsets(group string) iter.Seq[Offset] {
	return func(yield func(Offset) bool) {
		g := s.groups[group]
		if g == nil {
			return
		}
		for _, o := range g.sortedOffsets() {
			if !yield(o.export()) {
				return
			}
		}
	}
}

func (o *offset) export() Offset {
	return Offset{Topic: o.topic.id, Name: o.topic.name, Partition: o.partition, Offset: o.offset, Epoch: o.epoch, Metadata: o.metadata}
}

// Topics returns the ids of the topics that any group has offsets for, in
// ascending order.
func (s *State) Topics() []record.TopicID {
	ids := make([]record.TopicID, 0, len(s.topics))
	for id := range s.topics {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// HasTopic reports whether any group has offsets for a topic.
func (s *State) HasTopic(t record.TopicID) bool { return s.topics[t] > 0 }

// Summary is a line of a list of groups.
type Summary struct {
	Group, ProtocolType string
	Phase               Phase
}

// Groups iterates over all groups, ordered by name.
func (s *State) Groups() iter.Seq[Summary] {
	return func(yield func(Summary) bool) {
		for _, g := range s.sorted() {
			if !yield(g.summary()) {
				return
			}
		}
	}
}

func (g *group) summary() Summary {
	return Summary{Group: g.id, ProtocolType: g.protocolType, Phase: g.phase}
}

// Description is a group with its members. Its bytes are shared with the state.
type Description struct {
	Summary
	Generation int32
	// Protocol is the assignment protocol; only a Stable group shows it.
	Protocol string
	Leader   string
	Members  []Member
}

// Member is a member of a Description.
type Member struct {
	Member, Instance, ClientID, ClientHost string
	// Metadata and Assignment are shown by a Stable group only.
	Metadata, Assignment []byte
}

// Describe describes a group; false if there is none.
func (s *State) Describe(group string) (Description, bool) {
	g := s.groups[group]
	if g == nil {
		return Description{Summary: Summary{Group: group, Phase: Dead}}, false
	}
	d := Description{
		Summary: g.summary(), Generation: g.generation, Leader: g.leader, Members: make([]Member, len(g.members)),
	}
	if g.phase == Stable {
		d.Protocol = g.protocol
	}
	for i, m := range g.members {
		d.Members[i] = Member{Member: m.id, Instance: m.instance, ClientID: m.clientID, ClientHost: m.clientHost}
		if g.phase == Stable {
			d.Members[i].Metadata, d.Members[i].Assignment = m.metadata(g.protocol), m.assignment
		}
	}
	return d, true
}
