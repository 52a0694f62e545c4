package broker

import (
	"fmt"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// metadata is the state machine of the metadata group: the catalog, and on the
// leader the sending of its definitions to the shards. It implements
// replica.StateMachine; all that is not in member belongs to the group's loop.
type metadata struct {
	member

	catalog *topic.Catalog
	pages   pages
	locals  locals

	// waiting holds, on the leader, who is to be told when the last change of
	// a topic is applied by its shards.
	waiting map[topic.ID][]waitingChange
	// sending holds, on the leader, the shards that a definition is under way
	// to.
	sending map[record.ShardID]bool
	// reign counts the changes of leadership, so that what was begun under one
	// is not continued under the next.
	reign int
}

// waitingChange is topic i of a request, committed but not yet applied by the
// shards.
type waitingChange struct {
	r *request
	i int
}

func newMetadata(b *Broker) *metadata {
	m := &metadata{member: member{b: b, id: record.MetadataShard}}
	m.reset()
	return m
}

func (m *metadata) reset() {
	m.catalog = topic.NewCatalog()
	m.pages = pages{}
	m.pages.add(pageCatalog, m.catalog)
	m.waiting = map[topic.ID][]waitingChange{}
	m.sending = map[record.ShardID]bool{}
}

// change carries out a change of topic i of a request. The command is made on
// the group's loop, where the catalog can be looked at. Any goroutine.
func (m *metadata) change(r *request, i int, command func(*topic.Catalog) (topic.CatalogCommand, error)) {
	m.group.Post(func() {
		if !m.leads.Load() {
			r.answer(i, nil, ErrNotLeader)
			return
		}
		cmd, err := command(m.catalog)
		if err == nil && r.validateOnly {
			err = m.catalog.Check(cmd)
		}
		if err != nil || r.validateOnly {
			r.answer(i, nil, err)
			return
		}
		m.proposeOwn(kindCatalog, cmd.AppendTo(nil), func(result any, err error) {
			if err != nil {
				r.answer(i, nil, err)
				return
			}
			m.committed(result.(topic.Result).Topic, waitingChange{r, i})
		})
	})
}

// committed goes on with a change that is in the catalog: it is answered when
// the shards have applied it.
func (m *metadata) committed(t *topic.Topic, w waitingChange) {
	if m.catalog.Settled(t.ID) {
		m.answer(t, w)
		return
	}
	m.waiting[t.ID] = append(m.waiting[t.ID], w)
}

func (m *metadata) answer(t *topic.Topic, w waitingChange) {
	if view := m.b.TopicByID(t.UUID); view != nil || w.r.deletes {
		w.r.answer(w.i, view, nil)
		return
	}
	w.r.answer(w.i, nil, fmt.Errorf("%w: it has been deleted since", ErrUnknownTopic))
}

// Encode implements replica.StateMachine.
func (m *metadata) Encode(dst []byte, _ record.LogTime, batch []replica.Proposal) []byte {
	dst = append(dst, bodyVersion)
	for i, p := range batch {
		c := p.(*command)
		c.at = i
		dst = c.appendTo(dst)
	}
	return dst
}

// Apply implements replica.StateMachine.
func (m *metadata) Apply(e replica.Entry, batch []replica.Proposal) {
	if err := m.apply(&e, batch); err != nil {
		panic(fmt.Sprintf("the metadata group cannot apply entry %d: %v", e.Index, err))
	}
}

func (m *metadata) apply(e *replica.Entry, batch []replica.Proposal) error {
	m.locals.begin(batch)
	cmds, err := openBody(e.Data)
	if err != nil {
		return err
	}
	for cmds.more() {
		kind, payload, err := cmds.next()
		if err != nil {
			return err
		}
		if kind != kindCatalog {
			return fmt.Errorf("%w: command of unknown kind %d", errBody, kind)
		}
		cmd, err := topic.DecodeCatalogCommand(payload)
		if err != nil {
			return err
		}
		local := m.locals.command()
		result, err := m.catalog.Apply(e.Now, cmd)
		if local != nil {
			local.result, local.err = result, err
		}
		if err == nil {
			m.applied(cmd, &result)
		}
	}
	m.sendAll()
	return nil
}

// applied carries out what follows from a command.
func (m *metadata) applied(cmd topic.CatalogCommand, result *topic.Result) {
	if _, ok := cmd.(*topic.Bootstrap); ok {
		m.b.publishSlots(m.catalog)
	}
	if t := result.Topic; t != nil {
		if t.Deleted {
			m.b.hide(t)
		} else if m.catalog.Settled(t.ID) {
			m.b.show(t)
		}
	}
	for _, t := range result.Settled {
		if !t.Deleted {
			m.b.show(t)
		}
		waiting := m.waiting[t.ID]
		delete(m.waiting, t.ID)
		for _, w := range waiting {
			m.answer(t, w)
		}
	}
}

// NextDeadline implements replica.StateMachine: nothing in the catalog ends by
// time.
func (m *metadata) NextDeadline() (record.LogTime, bool) { return 0, false }

// LeaderChanged implements replica.StateMachine.
func (m *metadata) LeaderChanged(self bool, leader record.NodeID, term record.Term) {
	m.leaderChanged(self, leader, term)
	m.reign++
	m.abandon(ErrUnknownFate)
	m.sending = map[record.ShardID]bool{}
	m.sendAll()
	m.b.led(&m.member, self, leader)
}

// abandon answers everybody who waits for shards.
func (m *metadata) abandon(err error) {
	waiting := m.waiting
	m.waiting = map[topic.ID][]waitingChange{}
	for _, id := range sortedKeys(waiting) {
		for _, w := range waiting[id] {
			w.r.answer(w.i, nil, err)
		}
	}
}

// Freeze implements replica.StateMachine.
func (m *metadata) Freeze() { m.pages.freeze() }

// EncodePages implements replica.StateMachine.
func (m *metadata) EncodePages(emit func(key, value []byte), more func() bool) bool {
	return m.pages.encode(emit, more)
}

// Restore implements replica.StateMachine.
func (m *metadata) Restore(source replica.PageSource) error {
	m.abandon(ErrUnknownFate)
	m.reset()
	if err := m.pages.restore(source); err != nil {
		return fmt.Errorf("restoring the metadata group: %w", err)
	}
	m.b.addShards(m.catalog.Shards())
	m.b.publishSlots(m.catalog)
	m.b.showAll(m.catalog.Topics())
	return nil
}

// SnapshotRanges implements replica.StateMachine: all of the catalog is in its
// pages.
func (m *metadata) SnapshotRanges(replica.PageSource) ([]replica.Range, error) { return nil, nil }
