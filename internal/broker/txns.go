package broker

import (
	"errors"
	"fmt"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/group"
	"github.com/polylog-mq/polylog/internal/state/txn"
)

// txns is the part of a shard that coordinates transactions: their state, and on
// the leader the sending of decisions to partitions and groups. It is a
// component; all of it belongs to the shard's loop.
type txns struct {
	s     *shard
	state *txn.State
	fx    txn.Effects

	// sending are the transactional ids whose decision is under way.
	sending map[string]bool
	// waiting are those who are told when a decision is applied everywhere.
	waiting map[string][]*endWait
	// reign counts the changes of leadership, so that what was begun under one
	// is not continued under the next.
	reign int
}

// endWait is an EndTransaction under way.
type endWait struct {
	reply txn.Reply
	done  func(txn.Reply, error)
	timer clock.Timer
	over  bool
}

func (w *endWait) finish(r txn.Reply, err error) {
	if w.over {
		return
	}
	w.over = true
	if w.timer != nil {
		w.timer.Stop()
	}
	w.done(r, err)
}

func newTxns(s *shard) *txns {
	t := &txns{s: s, waiting: map[string][]*endWait{}}
	t.reset()
	return t
}

func (*txns) kind() commandKind { return kindTxn }

// apply implements component. A local End whose decision has to be applied first
// is parked; all other commands are answered by the reply in local.result.
func (t *txns) apply(e *replica.Entry, payload []byte, local *command) error {
	c, err := txn.Decode(payload)
	if err != nil {
		return fmt.Errorf("a command of a transaction: %w", err)
	}
	r := t.state.Apply(e.Now, c, &t.fx)
	if local == nil {
		return nil
	}
	if w, ok := local.result.(*endWait); ok && r.Waiting {
		t.park(c.(*txn.End).ID, w, r)
	}
	local.result, local.err = r, r.Err
	return nil
}

// park lets an EndTransaction wait until its decision is applied, so that what it
// committed is there to be read when it is answered. The decision stands already,
// so that the wait may be cut short.
func (t *txns) park(id string, w *endWait, r txn.Reply) {
	w.reply = r
	t.waiting[id] = append(t.waiting[id], w)
	w.timer = t.s.b.opts.Clock.AfterFunc(endPatience, func() {
		t.s.group.Post(func() { w.finish(w.reply, nil) })
	})
}

// tick implements component.
func (t *txns) tick(e *replica.Entry) {
	if at, ok := t.state.NextDeadline(); ok && at <= e.Now {
		t.state.Tick(e.Now, e.Hold, &t.fx)
	}
	for _, id := range t.fx.Completed {
		waiting := t.waiting[id]
		delete(t.waiting, id)
		for _, w := range waiting {
			w.finish(w.reply, nil)
		}
	}
	for _, id := range t.fx.Decided {
		t.send(id)
	}
	t.fx.Reset()
}

func (t *txns) nextDeadline() (record.LogTime, bool) { return t.state.NextDeadline() }

// leaderChanged implements component. A new leader sends every decision that is
// not known to be applied.
func (t *txns) leaderChanged(self bool, _ record.NodeID, _ record.Term) {
	t.reign++
	t.abandon(ErrNotLeader)
	t.sending = map[string]bool{}
	if self && !fault.On(fault.LoseDecision) {
		for _, id := range t.state.Deciding() {
			t.send(id)
		}
	}
}

// abandon answers all that wait.
func (t *txns) abandon(err error) {
	for _, id := range sortedKeys(t.waiting) {
		for _, w := range t.waiting[id] {
			w.finish(txn.Reply{}, err)
		}
	}
	clear(t.waiting)
}

// reset implements component.
func (t *txns) reset() {
	t.abandon(ErrNotLeader)
	t.state = txn.New()
	t.sending = map[string]bool{}
	t.fx.Reset()
}

// Freeze implements section.
func (t *txns) Freeze() { t.state.Freeze() }

// EncodePages implements section.
func (t *txns) EncodePages(emit func(key, value []byte), more func() bool) bool {
	return t.state.EncodePages(emit, more)
}

// RestorePage implements section.
func (t *txns) RestorePage(key, value []byte) error { return t.state.RestorePage(key, value) }

// Restored implements section.
func (t *txns) Restored() error { return t.state.Restored() }

// delivery is a decision on its way to all that it concerns. Like the definitions
// of the catalog it is sent again, whole, until everybody has applied it.
type delivery struct {
	t     *txns
	d     txn.Decision
	reign int
	left  int // answers that have yet to come
	err   error
}

// send sends the decision of a transactional id, unless it is under way.
func (t *txns) send(id string) {
	d, ok := t.state.Decision(id)
	if !ok || !t.s.leads.Load() || t.sending[id] {
		return
	}
	t.sending[id] = true
	x := &delivery{t: t, d: d, reign: t.reign, left: 1}
	x.toPartitions()
	for _, g := range d.Groups {
		c := &group.Resolve{Group: g, Producer: d.Producer, Epoch: d.Epoch, Number: d.Number, Commit: d.Commit}
		x.left++
		t.s.b.home(g).proposeOwn(kindGroup, c.AppendTo(nil), func(_ any, err error) { x.answered(err) })
	}
	x.answered(nil)
}

// toPartitions sends a mark to each shard that has partitions of the transaction.
func (x *delivery) toPartitions() {
	b := x.t.s.b
	byShard := map[record.ShardID][]record.PartitionID{}
	var missing []record.TopicID
	for i := range x.d.Partitions {
		p := &x.d.Partitions[i]
		if s := b.shardOf(p.ID); s != nil {
			byShard[s.id] = append(byShard[s.id], p.ID)
		} else {
			missing = append(missing, p.Topic)
		}
	}
	if len(missing) > 0 {
		x.left++
		b.metadata.allGone(missing, x.answered)
	}
	for _, id := range sortedKeys(byShard) {
		m := &mark{
			ends: true, commit: x.d.Commit, producer: x.d.Producer, epoch: x.d.Epoch, number: x.d.Number,
			partitions: byShard[id],
		}
		x.left++
		var err error
		if m.batch, err = controlBatch(m, record.Term(x.t.s.term.Load()), b.opts.Clock.Now().UnixMilli()); err != nil {
			x.answered(err)
			continue
		}
		b.shards[id].proposeOwn(kindMark, m.appendTo(nil), func(_ any, err error) { x.answered(err) })
	}
}

// answered counts an answer. Any goroutine.
func (x *delivery) answered(err error) {
	x.t.s.group.Post(func() {
		if x.reign != x.t.reign {
			return
		}
		x.err = errors.Join(x.err, err)
		if x.left--; x.left > 0 {
			return
		}
		if x.err != nil {
			x.again(x.err)
			return
		}
		c := &txn.Complete{ID: x.d.ID, Number: x.d.Number}
		x.t.s.proposeOwn(kindTxn, c.AppendTo(nil), func(_ any, err error) {
			switch {
			case x.reign != x.t.reign:
			case err != nil:
				x.again(err)
			default:
				delete(x.t.sending, x.d.ID)
				x.t.send(x.d.ID)
			}
		})
	})
}

// again sends the decision once more, after a while.
func (x *delivery) again(err error) {
	b := x.t.s.b
	if errors.Is(err, ErrClosed) || errors.Is(err, ErrStorage) {
		return
	}
	b.log.Debug("a transaction's decision will be sent again", "transactional id", x.d.ID, "reason", err)
	b.opts.Clock.AfterFunc(resendDelay, func() {
		x.t.s.group.Post(func() {
			if x.reign == x.t.reign {
				delete(x.t.sending, x.d.ID)
				x.t.send(x.d.ID)
			}
		})
	})
}

// errNotGone says that a partition is not known yet.
var errNotGone = errors.New("a partition is not known on this node yet")

// allGone reports whether all of these topics were deleted: a partition of which
// there is no handle is either gone or not known yet. Any goroutine.
func (m *metadata) allGone(topics []record.TopicID, done func(error)) {
	m.group.Post(func() {
		for _, id := range topics {
			if !m.catalog.Gone(id) {
				done(errNotGone)
				return
			}
		}
		done(nil)
	})
}

// endTxnWaits answers all who wait for decisions, since the node is stopping.
func (b *Broker) endTxnWaits() {
	for _, id := range sortedKeys(b.shards) {
		if s := b.shards[id]; s.group != nil {
			s.group.Post(func() { s.txns.abandon(ErrClosed) })
		}
	}
}
