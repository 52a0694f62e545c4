package broker

import (
	"bytes"

	"github.com/polylog-mq/polylog/internal/state/lease"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// Policies for queues hold for topics that were not declared as queues too, as
// far as workers drain them: each partition's lease set has the default settings
// and what policies make of them. What a topic keeps, and that it is kept, its
// own settings say. The sets belong to the shards, whose leaders compare them
// with the policies when they begin, when a set is made, and when policies change.

// topicSettings returns the settings of a topic's lease sets.
func (m *metadata) topicSettings(t *topic.Topic) *QueueSettings {
	declared := lease.DefaultSettings()
	settings := *m.underPolicies(t.Tenant, t.Name, definitionOf(t), &declared)
	settings.Retention, settings.Expires = -1, 0
	return &settings
}

// settingsFor hands done the settings of a partition's lease set, nil if its topic
// is not known. Any goroutine.
func (m *metadata) settingsFor(p *Partition, done func(*QueueSettings)) {
	m.group.Post(func() {
		view := p.topic.Load()
		if view == nil {
			done(nil)
			return
		}
		t := m.catalog.ByID(view.ID)
		if t == nil || t.Deleted {
			done(nil)
			return
		}
		done(m.topicSettings(t))
	})
}

// obeyInTopics sees to it that the lease sets of topics which this node leads
// have the settings that policies give them.
func (m *metadata) obeyInTopics() {
	for _, t := range m.catalog.Topics() {
		view := m.b.view.byID.get(t.ID)
		if view == nil || t.Lease != nil || t.Deleted {
			continue
		}
		var settings *QueueSettings
		for _, p := range view.Partitions {
			if q := p.queue.Load(); q == nil || q.settings.Load() == nil {
				continue // no worker has come yet
			}
			if settings == nil {
				settings = m.topicSettings(t)
			}
			p.shard.group.Post(func() { p.shard.queues.obey(p, settings) })
		}
	}
}

// openFor gives a partition that has none a lease set.
func (q *queues) openFor(p *Partition, refuse func(error), then func()) {
	q.s.b.metadata.settingsFor(p, func(settings *QueueSettings) {
		q.s.group.Post(func() {
			if settings == nil {
				refuse(ErrUnknownQueue)
				return
			}
			q.proposeOpen(p, settings, func(err error) {
				if err != nil {
					refuse(err)
					return
				}
				then()
			})
		})
	})
}

func (q *queues) proposeOpen(p *Partition, s *QueueSettings, done func(error)) {
	c := &lease.Open{Partition: p.id, Settings: s}
	q.s.propose(kindLease, c.AppendTo(nil), func(_ any, err error) { done(err) })
}

// compare holds the set of a partition that this node now leads against the
// policies.
func (q *queues) compare(p *Partition) {
	q.s.b.metadata.settingsFor(p, func(settings *QueueSettings) {
		if settings != nil {
			q.s.group.Post(func() { q.obey(p, settings) })
		}
	})
}

// obey gives the lease set of a topic's partition other settings, if it has
// others and is led here. If that fails the next leader finds it.
func (q *queues) obey(p *Partition, settings *QueueSettings) {
	if p.desk == nil || p.dropped.Load() || p.state.Settings().Lease != "" {
		return
	}
	if !bytes.Equal(settings.AppendTo(nil), p.lease.Settings().AppendTo(nil)) {
		q.proposeOpen(p, settings, func(error) {})
	}
}
