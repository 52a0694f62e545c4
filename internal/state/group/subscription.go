package group

import "encoding/binary"

// consumerType is the protocol type of Kafka's consumers, the only one whose
// subscriptions a broker may look into.
const consumerType = "consumer"

// subscription is the set of topics that a group's members want.
type subscription struct {
	topics map[string]struct{}
	all    bool // not known: every topic may be in it
}

func (s subscription) has(topic string) bool {
	_, ok := s.topics[topic]
	return s.all || ok
}

// subscription reads what the members of a group of consumers subscribe to.
func (g *group) subscription() subscription {
	s := subscription{topics: map[string]struct{}{}}
	if g.protocolType != consumerType {
		return s
	}
	for _, m := range g.members {
		if g.protocol == "" || !s.add(m.metadata(g.protocol)) {
			return subscription{all: true}
		}
	}
	return s
}

// add reads the topics of a ConsumerProtocolSubscription: version int16, then
// an array of strings; what follows differs between versions. It reports
// whether the bytes make sense.
func (s *subscription) add(b []byte) bool {
	if len(b) < 6 {
		return false
	}
	n := int32(binary.BigEndian.Uint32(b[2:]))
	b = b[6:]
	for ; n > 0; n-- {
		if len(b) < 2 {
			return false
		}
		size := int(int16(binary.BigEndian.Uint16(b)))
		if size < 0 || size > len(b)-2 {
			return false
		}
		s.topics[string(b[2:2+size])] = struct{}{}
		b = b[2+size:]
	}
	return n == 0
}
