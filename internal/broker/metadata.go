package broker

import (
	"fmt"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/parameter"
	"github.com/polylog-mq/polylog/internal/state/route"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// metadata is the state machine of the metadata group: the catalog, and on the
// leader the sending of its definitions to the shards. It implements
// replica.StateMachine; all that is not in member belongs to the group's loop.
type metadata struct {
	member

	catalog *topic.Catalog
	routes  *route.State
	users   *access.State
	// parameters are what operators have said by name, limits among them.
	parameters *parameter.State
	pages      pages
	locals     locals
	// owned lists the queues that end with a session or incarnation. It is
	// derived from the catalog.
	owned map[route.Owner][]topic.ID

	// waiting holds, on the leader, who is to be told when the last change of
	// a topic is applied by its shards: with the topic as it then is.
	waiting map[topic.ID][]func(*topic.Topic, error)
	// sending holds, on the leader, the shards that a definition is under way
	// to.
	sending map[record.ShardID]bool
	// reign counts the changes of leadership, so that what was begun under one
	// is not continued under the next.
	reign int
	// obeyed counts how often queues were held against the policies.
	obeyed int
	// starting says that the node's incarnation is being begun.
	starting bool
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
	m.routes = route.New()
	m.pages.add(pageRoutes, m.routes)
	m.users = access.New()
	m.pages.add(pageAccess, m.users)
	m.parameters = parameter.New()
	m.pages.add(pageParameter, m.parameters)
	m.owned = map[route.Owner][]topic.ID{}
	m.waiting = map[topic.ID][]func(*topic.Topic, error){}
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
			m.whenSettled(result.(topic.Result).Topic, func(t *topic.Topic, err error) { m.answer(t, r, i, err) })
		})
	})
}

// answer answers for topic i of a request.
func (m *metadata) answer(t *topic.Topic, r *request, i int, err error) {
	var view *Topic
	if err == nil {
		if view = m.b.view.byUUID.get(t.UUID); view == nil && !r.deletes {
			err = fmt.Errorf("%w: it has been deleted since", ErrUnknownTopic)
		}
	}
	r.answer(i, view, err)
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
		switch kind {
		case kindCatalog:
			err = m.applyCatalog(e.Now, payload)
		case kindRoute:
			err = m.applyRoute(e.Now, payload)
		case kindAccess:
			err = m.applyAccess(payload)
		case kindParameter:
			err = m.applyParameter(payload)
		default:
			err = fmt.Errorf("%w: command of unknown kind %d", errBody, kind)
		}
		if err != nil {
			return err
		}
	}
	m.b.publishRoutes(m.routes.Snapshot())
	m.b.users.Store(m.users.Snapshot())
	m.b.parameters.Store(m.parameters.Snapshot())
	m.sendAll()
	return nil
}

func (m *metadata) applyCatalog(now record.LogTime, payload []byte) error {
	cmd, err := topic.DecodeCatalogCommand(payload)
	if err != nil {
		return err
	}
	local := m.locals.command()
	var result topic.Result
	if err = m.checkTenant(cmd); err == nil {
		result, err = m.catalog.Apply(now, cmd)
	}
	if local != nil {
		local.result, local.err = result, err
	}
	if err == nil {
		m.applied(cmd, &result)
	}
	return nil
}

// applied carries out what follows from a command.
func (m *metadata) applied(cmd topic.CatalogCommand, result *topic.Result) {
	if _, ok := cmd.(*topic.Bootstrap); ok {
		m.b.publishSlots(m.catalog)
	}
	if t := result.Topic; t != nil {
		m.follow(cmd, t)
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
		for _, settled := range waiting {
			settled(t, nil)
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
	if self {
		m.start()
		m.obeyPolicies()
	} else if leader != 0 { // which begins the incarnations of the nodes it knows
		m.b.ready.note(startMark, 0, true)
	}
	m.b.led(&m.member, self, leader)
}

// abandon answers everybody who waits for shards.
func (m *metadata) abandon(err error) {
	waiting := m.waiting
	m.waiting = map[topic.ID][]func(*topic.Topic, error){}
	for _, id := range sortedKeys(waiting) {
		for _, settled := range waiting[id] {
			settled(nil, err)
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
	m.restoreOwned()
	m.b.publishSlots(m.catalog)
	m.b.publishRoutes(m.routes.Snapshot())
	m.b.users.Store(m.users.Snapshot())
	m.b.parameters.Store(m.parameters.Snapshot())
	m.b.showAll(m.catalog.Topics())
	return nil
}

// SnapshotRanges implements replica.StateMachine: all of the catalog is in its
// pages.
func (m *metadata) SnapshotRanges(replica.PageSource) ([]replica.Range, error) { return nil, nil }
