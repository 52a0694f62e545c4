package sim

import (
	"fmt"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/group"
	"github.com/polylog-mq/polylog/internal/state/topic"
	"github.com/polylog-mq/polylog/internal/state/txn"
)

// transactor is a transactional producer: under one id it writes transactions to
// several partitions, each with the input that it stands for, and commits or
// aborts them. Now and then it dies in the middle of one, or falls asleep, so
// that another incarnation takes over and the first one comes back as a zombie.
type transactor struct {
	w     *world
	id    string
	topic *topicPlan // written to
	input *topicPlan // whose offsets it commits
	// bumps says that it takes a new epoch with every transaction (KIP-890), and
	// does not say ahead what is part of one.
	bumps bool

	now    *incarnation
	before *transaction // its latest transaction
	count  int
	// committed is the input that was seen to be committed.
	committed record.Offset
	ending    bool
	resting   bool
}

// txnTimeout is how long a transaction may take, in the time of the log, which
// jumps with the clocks of leaders.
const txnTimeout = 20 * time.Second

func (x *transactor) begin() { x.w.after(around(x.w.clients, time.Second), x.incarnate) }

func (x *transactor) finish() { x.ending = true }

func (x *transactor) busy() string {
	if !x.resting && x.now != nil {
		return x.id + " is in a transaction"
	}
	return ""
}

// incarnation is a process that works for a transactional id.
type incarnation struct {
	x        *transactor
	producer int64
	epoch    int16
	seq      map[int32]int32
	pos      record.Offset // of its input
	txn      *transaction
	// replaced says that a newer one has got its epoch, asleep that this one is
	// out of touch, dead that it does nothing any more.
	replaced, asleep, dead bool
}

// incarnate begins anew: with the next epoch, and from the input that is
// committed.
func (x *transactor) incarnate() {
	old := x.now
	s := &incarnation{x: x, producer: -1, epoch: -1, seq: map[int32]int32{}}
	x.now = s
	s.try("begins", func(b *broker.Broker, done answer) {
		c := &txn.Init{ID: x.id, Timeout: int32(txnTimeout.Milliseconds()), Producer: -1, Epoch: -1}
		b.InitTransactions(c, func(r txn.Reply, err error) {
			done(err, func() { s.producer, s.epoch = r.Producer, r.Epoch })
		})
	}, func() {
		if old != nil {
			old.supersede(s)
		}
		x.w.note("%s is producer %d, epoch %d", x.id, s.producer, s.epoch)
		s.findInput(s.next)
	})
}

// supersede ends the right of an incarnation to decide anything.
func (s *incarnation) supersede(by *incarnation) {
	s.replaced = true
	if s.producer == by.producer && s.epoch >= by.epoch {
		s.x.w.fail("%s gets epoch %d of producer %d after epoch %d", s.x.id, by.epoch, by.producer, s.epoch)
	}
	if t := s.txn; t != nil && !t.asked {
		s.x.w.decided(t, aborted, "its producer was replaced")
	}
}

// findInput asks where the input goes on.
func (s *incarnation) findInput(then func()) {
	x := s.x
	least := x.committed
	s.try("asks for its input", func(b *broker.Broker, done answer) {
		t := b.Topic(x.input.name)
		if t == nil {
			done(broker.ErrNotLeader, nil)
			return
		}
		b.FetchOffsets(x.id, []broker.GroupPartition{{Topic: t.ID}}, func(os []group.Offset, err error) {
			var pos record.Offset
			switch {
			case err != nil:
			case os[0].Unstable:
				err = txn.ErrConcurrent
			default:
				pos = max(os[0].Offset, 0)
			}
			done(err, func() { s.pos = pos })
		})
	}, func() {
		if s.pos < least {
			x.w.fail("%s goes on at input %d after %d was committed", x.id, s.pos, least)
		}
		x.committed = max(x.committed, s.pos)
		then()
	})
}

// next begins a transaction, or rests for ever.
func (s *incarnation) next() {
	x := s.x
	s.txn = nil
	if s != x.now || s.dead {
		return
	}
	if x.ending {
		x.resting = true
		return
	}
	x.w.after(around(x.w.clients, 2*x.w.o.Pace), s.work)
}

// work carries a transaction out, step by step.
func (s *incarnation) work() {
	x := s.x
	if s != x.now || s.dead {
		return
	}
	x.count++
	t := &transaction{name: fmt.Sprintf("%s/%d", x.id, x.count), by: x, before: x.before, from: -1, reads: map[*transaction]bool{}}
	x.before, s.txn = t, t
	x.w.txns = append(x.w.txns, t)
	var steps []func(func())
	parts := x.w.clients.Perm(int(x.topic.partitions))[:1+x.w.clients.IntN(int(x.topic.partitions))]
	withInput := x.w.clients.IntN(2) == 0
	if x.w.clients.IntN(2) == 0 {
		steps = append(steps, func(then func()) { s.read(int32(parts[0]), then) })
	}
	if !x.bumps {
		steps = append(steps, func(then func()) { s.add(parts, withInput, then) })
	}
	for range 1 + x.w.clients.IntN(2) {
		for _, p := range parts {
			steps = append(steps, func(then func()) { s.write(int32(p), then) })
		}
	}
	if withInput {
		steps = append(steps, s.commitInput)
	}
	steps = append(steps, s.end)
	s.run(steps)
}

// run does one step after the other, unless something happens in between.
func (s *incarnation) run(steps []func(func())) {
	x := s.x
	if len(steps) == 0 {
		s.next()
		return
	}
	goAhead := func() { steps[0](func() { s.run(steps[1:]) }) }
	if s != x.now || x.ending {
		goAhead()
		return
	}
	switch x.w.clients.IntN(60) {
	case 0:
		x.w.note("%s dies in %s", x.id, s.txn.name)
		s.dead = true
		x.w.after(upTo(x.w.clients, 6*time.Second), x.incarnate)
	case 1:
		x.w.note("%s falls asleep in %s", x.id, s.txn.name)
		s.asleep = true
		x.w.after(upTo(x.w.clients, 3*time.Second), x.incarnate)
		x.w.after(upTo(x.w.clients, 8*time.Second), func() {
			x.w.note("%s comes back to %s", x.id, s.txn.name)
			x.w.cover.Zombies++
			goAhead()
		})
	case 2:
		x.w.after(upTo(x.w.clients, 2*time.Second), goAhead)
	default:
		goAhead()
	}
}

// coordinator returns whom to ask about a transactional id.
func (w *world) coordinator(id string) *node {
	if n := w.anyone(); !n.down && !n.paused {
		if c, err := n.broker.Coordinator(id); err == nil {
			return w.node(c.ID)
		}
	}
	return nil
}

// answer ends a request: refused, or granted with what the client learns from it,
// if there is anything. An answer that comes too late is not heard, and nothing is
// learnt: the request was sent again.
type answer func(err error, learn func())

// try asks the coordinator until it is granted.
func (s *incarnation) try(what string, do func(*broker.Broker, answer), then func()) {
	s.tryAt(func() *node { return s.x.w.coordinator(s.x.id) }, what, do, then)
}

// tryAt asks a node until what it asks is granted, or this incarnation is told
// that it is over.
func (s *incarnation) tryAt(at func() *node, what string, do func(*broker.Broker, answer), then func()) {
	x, late := s.x, s.replaced
	again := func() {
		x.w.after(around(x.w.clients, 300*time.Millisecond), func() { s.tryAt(at, what, do, then) })
	}
	if s.dead {
		return
	}
	x.w.ask(at(), 7*time.Second, func(b *broker.Broker, reply func(func())) {
		do(b, func(err error, learn func()) {
			reply(func() {
				switch {
				case s.dead:
				case err == nil:
					if late {
						x.w.note("%s: a zombie %s", x.id, what)
					}
					if learn != nil {
						learn()
					}
					then()
				case isTransient(err), is(err, txn.ErrConcurrent, topic.ErrStillOpen, group.ErrStillOpen):
					again()
				case is(err, txn.ErrFenced, txn.ErrUnknownProducer, txn.ErrInvalidState, broker.ErrProducerEpoch,
					topic.ErrNotEnlisted, group.ErrNotEnlisted, group.ErrProducerEpoch):
					s.fenced(what, err)
				default:
					x.w.fail("%s, epoch %d, %s: %v", x.id, s.epoch, what, err)
				}
			})
		})
	}, again)
}

// fenced ends an incarnation that is told that its transaction is over: its time
// was, or another one has taken its place.
func (s *incarnation) fenced(what string, err error) {
	x := s.x
	x.w.note("%s, epoch %d, %s: %v", x.id, s.epoch, what, err)
	s.dead = true
	x.w.cover.Fenced++
	if s == x.now {
		x.w.after(around(x.w.clients, 300*time.Millisecond), x.incarnate)
	}
}

// read reads committed records, on which the transaction depends from now on.
func (s *incarnation) read(part int32, then func()) {
	w, n := s.x.w, s.x.w.whoLeads(s.x.topic.name, part)
	w.ask(n, 0, func(b *broker.Broker, reply func(func())) {
		p := partitionAt(b, s.x.topic.name, part)
		if p == nil {
			reply(then)
			return
		}
		l := w.log(p.ID(), s.x.topic, part)
		f := w.fetchCommitted(n, p, l, max(p.Floor(), p.LastStable()-record.Offset(w.clients.IntN(30))))
		reply(func() {
			for _, t := range w.takeCommitted(l, n, f) {
				s.txn.reads[t] = true
			}
			then()
		})
	}, then)
}

// add announces what will be part of the transaction.
func (s *incarnation) add(parts []int, withInput bool, then func()) {
	x := s.x
	s.try("adds partitions", func(b *broker.Broker, done answer) {
		c := &txn.Add{ID: x.id, Producer: s.producer, Epoch: s.epoch}
		for _, i := range parts {
			p := partitionAt(b, x.topic.name, int32(i))
			if p == nil {
				done(broker.ErrNotLeader, nil)
				return
			}
			c.Partitions = append(c.Partitions, p.InTransaction())
		}
		if withInput {
			c.Groups = []string{x.id}
		}
		b.AddToTransaction(c, func(each []error, err error) {
			for _, e := range each {
				if e != nil && err == nil {
					err = e
				}
			}
			if is(err, broker.ErrUnknownPartition) {
				err = broker.ErrNotLeader
			}
			done(err, nil)
		})
	}, then)
}

// transactional is the bit of a batch's attributes.
const transactional = 1 << 4

// write writes a batch, again and again until it is acknowledged.
func (s *incarnation) write(part int32, then func()) {
	w, x, t := s.x.w, s.x, s.txn
	h := record.Template(record.None)
	h.Attributes |= transactional
	h.ProducerID, h.ProducerEpoch, h.BaseSequence = s.producer, s.epoch, s.seq[part]
	var builder record.Builder
	builder.Reset(h)
	n, first := 1+w.clients.IntN(3), uint64(len(w.records))
	for range n {
		r := record.Record{Timestamp: w.clock.Now().UnixMilli(), Key: []byte(x.id), Value: make([]byte, 8+w.clients.IntN(maxRecordSize/4))}
		id := w.send(&stream{w: w, name: x.id})
		w.records[id].txn = t
		if x.topic.compacted {
			w.sendKeyed(id, &r)
		}
		mark(&r, id)
		builder.Add(r)
	}
	batch, err := builder.AppendTo(nil)
	if err != nil {
		panic(err)
	}
	s.seq[part] = record.AddSequence(s.seq[part], int32(n))
	tries, replaced := 0, false
	var l *partitionLog
	var base record.Offset
	s.tryAt(func() *node { return w.whoLeads(x.topic.name, part) }, "writes", func(b *broker.Broker, done answer) {
		tries++
		replaced = s.replaced
		p := partitionAt(b, x.topic.name, part)
		if p == nil {
			done(broker.ErrNotLeader, nil)
			return
		}
		l = w.log(p.ID(), x.topic, part)
		a := &broker.Append{Batch: append([]byte(nil), batch...), Done: func(a *broker.Append) {
			at := a.Base
			done(a.Err, func() { base = at })
		}}
		if x.bumps {
			p.AppendIn(a, x.id)
		} else {
			p.Append(a)
		}
	}, func() {
		w.note("%s writes record %d at %d of %s", t.name, first, base, l.name)
		if tries == 1 && replaced {
			w.fail("%s: a batch of epoch %d is taken after its producer was replaced", t.name, s.epoch)
		}
		for i := range n {
			w.at(l, base+record.Offset(i), first+uint64(i), "acknowledged to "+x.id)
			w.records[first+uint64(i)].state = acked
		}
		l.batchSize(base, len(batch))
		w.cover.Acked += n
		then()
	})
}

// commitInput makes the input part of the transaction.
func (s *incarnation) commitInput(then func()) {
	x := s.x
	to := s.pos + 1 + record.Offset(x.w.clients.IntN(5))
	s.txn.from, s.txn.to = s.pos, to
	s.try("commits its input", func(b *broker.Broker, done answer) {
		t := b.Topic(x.input.name)
		if t == nil {
			done(broker.ErrNotLeader, nil)
			return
		}
		c := &group.TxnCommit{Producer: s.producer, Epoch: s.epoch}
		c.Group, c.Generation, c.Retention = x.id, -1, -1
		c.Topics = []group.CommitTopic{{Topic: t.ID, Name: t.Name, Partitions: []group.CommitPartition{{Offset: to, Epoch: -1}}}}
		id := ""
		if x.bumps {
			id = x.id
		}
		b.CommitInTransaction(id, c, func(err error) { done(err, nil) })
	}, then)
}

// end commits or aborts the transaction.
func (s *incarnation) end(then func()) {
	x, t := s.x, s.txn
	commit := x.w.clients.IntN(4) > 0
	t.asked = t.asked || commit
	replaced := s.replaced
	c := &txn.End{ID: x.id, Producer: s.producer, Epoch: s.epoch, Commit: commit, Bumps: x.bumps}
	var r txn.Reply
	s.try("ends it", func(b *broker.Broker, done answer) {
		end := *c
		b.EndTransaction(&end, func(got txn.Reply, err error) {
			done(err, func() { r = got })
		})
	}, func() {
		x.w.note("%s is ended, commit %v", t.name, commit)
		if !commit {
			x.w.decided(t, aborted, "its producer was told so")
			s.goOn(r, then)
			return
		}
		if replaced {
			x.w.fail("%s: epoch %d has committed after its producer was replaced", t.name, s.epoch)
		}
		x.w.decided(t, committed, "its producer was told so")
		if t.from >= 0 {
			s.pos = t.to
			x.committed = max(x.committed, t.to)
		}
		s.goOn(r, then)
	})
}

// goOn takes the epoch of the next transaction.
func (s *incarnation) goOn(r txn.Reply, then func()) {
	if r.Producer != s.producer || r.Epoch != s.epoch {
		s.producer, s.epoch = r.Producer, r.Epoch
		clear(s.seq)
	}
	then()
}
