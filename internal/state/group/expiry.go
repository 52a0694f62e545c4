package group

import (
	"github.com/polylog-mq/polylog/internal/record"
)

// expiryRule returns the function that tells when an offset of the group
// expires, as things are (KIP-211):
//   - the offsets of an empty group, when the retention has passed since it
//     became empty;
//   - those of a group that never had members, when it has passed since the
//     commit;
//   - those of a stable group of consumers, likewise, if nobody is subscribed to
//     the topic.
//
// It returns nil if nothing expires.
func (g *group) expiryRule(retention int64) func(*offset) record.LogTime {
	after := func(o *offset, base record.LogTime) record.LogTime {
		if o.expires != never {
			return o.expires
		}
		return base + record.LogTime(min(retention, maxRetention))
	}
	switch {
	case g.phase == Empty && g.protocolType != "":
		return func(o *offset) record.LogTime { return after(o, g.since) }
	case g.phase == Empty:
		return func(o *offset) record.LogTime { return after(o, o.at) }
	case g.phase == Stable && g.protocolType == consumerType:
		subscribed := g.subscription()
		return func(o *offset) record.LogTime {
			if subscribed.has(o.topic.name) {
				return never
			}
			return after(o, o.at)
		}
	}
	return nil
}

// nextExpiry returns when the first of the group's offsets, or the group
// itself, expires as things are.
func (g *group) nextExpiry(retention int64) record.LogTime {
	if len(g.topics) == 0 {
		if g.phase == Empty {
			return g.since + idleGroup
		}
		return never
	}
	rule, at := g.expiryRule(retention), never
	if rule == nil {
		return never
	}
	for _, p := range g.pages {
		for _, o := range p.entries {
			at = min(at, rule(o))
		}
	}
	return at
}

// expireOffsets drops the offsets whose time is over, and the group if nothing
// is left of it.
func (s *State) expireOffsets(now record.LogTime, g *group) {
	rule := g.expiryRule(s.settings.Retention)
	for _, o := range g.sortedOffsets() {
		if rule != nil && rule(o) <= now {
			s.erase(g, o)
		}
	}
	if g.phase == Empty && len(g.topics) == 0 && len(g.reserved) == 0 && !g.busy() && g.since+idleGroup <= now {
		s.drop(g)
		return
	}
	s.touch(g)
	g.expires = g.nextExpiry(s.settings.Retention)
	if g.expires != never {
		g.expires = max(g.expires, now+expiryInterval)
	}
	g.review = false
	s.schedule(g)
}
