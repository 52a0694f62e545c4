package broker

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// sendAll sends to every shard what it is owed. One definition at a time is
// under way per shard: sent, applied there, confirmed in the catalog, and only
// then the next. Whatever goes wrong, the catalog still owes it, and it is sent
// again: Define and Confirm are idempotent.
func (m *metadata) sendAll() {
	if !m.leads.Load() {
		return
	}
	for _, id := range m.catalog.Shards() {
		m.send(id)
	}
}

// send sends the next definition to a shard, unless one is under way.
func (m *metadata) send(id record.ShardID) {
	if !m.leads.Load() || m.sending[id] {
		return
	}
	def, ok := m.catalog.Pending(id)
	if !ok {
		return
	}
	m.sending[id] = true
	reign := m.reign
	m.b.shards[id].proposeOwn(kindTopic, def.AppendTo(nil), func(revision any, err error) {
		m.group.Post(func() {
			if m.reign != reign {
				return
			}
			r, ok := revision.(topic.Revision)
			if !ok { // not applied, or nobody knows
				m.again(id, err)
				return
			}
			m.confirm(id, r)
		})
	})
}

// confirm logs what a shard has applied. If it stands elsewhere than the
// catalog believed (the definition was stale), this too puts it right.
func (m *metadata) confirm(id record.ShardID, r topic.Revision) {
	cmd := topic.Confirm{Shard: id, Revision: r}
	reign := m.reign
	m.proposeOwn(kindCatalog, cmd.AppendTo(nil), func(_ any, err error) {
		if m.reign != reign {
			return
		}
		if err != nil {
			m.again(id, err)
			return
		}
		delete(m.sending, id)
		m.send(id)
	})
}

// again sends to a shard once more, after a while.
func (m *metadata) again(id record.ShardID, err error) {
	if errors.Is(err, ErrClosed) || errors.Is(err, ErrStorage) {
		return
	}
	m.b.log.Debug("a definition will be sent again", "shard", id, "reason", err)
	reign := m.reign
	m.b.opts.Clock.AfterFunc(resendDelay, func() {
		m.group.Post(func() {
			if m.reign == reign {
				delete(m.sending, id)
				m.send(id)
			}
		})
	})
}

// shardLed sends at once to a shard that has got a leader. It is called on that
// shard's loop.
func (m *metadata) shardLed(id record.ShardID) {
	m.group.Post(func() { m.send(id) })
}

// sortedKeys returns the keys in an order that does not vary.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
