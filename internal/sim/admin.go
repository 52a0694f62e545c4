package sim

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

// admin creates and deletes topics, again and again under the same few names,
// writes into them, and deletes records of the topic that may lose some.
type admin struct {
	w      *world
	name   string
	short  *topicPlan
	own    *stream // the records that it writes
	ending bool
}

func (a *admin) begin()       { a.w.after(around(a.w.clients, 2*time.Second), a.tick) }
func (a *admin) finish()      { a.ending = true }
func (a *admin) busy() string { return "" }

// adminTopics is how many names there are.
const adminTopics = 3

func (a *admin) tick() {
	if a.ending {
		return
	}
	a.w.after(around(a.w.clients, 2*time.Second), a.tick)
	name := fmt.Sprintf("topic-%d", a.w.clients.IntN(adminTopics))
	switch a.w.clients.IntN(6) {
	case 0, 1:
		a.create(name)
	case 2:
		a.remove(name)
	case 3:
		a.deleteRecords()
	case 4:
		a.alter(name)
	default:
		a.write(name)
	}
}

// create creates a topic.
func (a *admin) create(name string) {
	op := a.w.linear.begin("topic "+name, createOp)
	a.change(op, func(b *broker.Broker, done func([]broker.TopicResult)) {
		b.CreateTopics([]broker.NewTopic{{Name: name, Partitions: 1 + a.w.clients.Int32N(3), Replication: -1}}, false, done)
	})
}

// remove deletes a topic.
func (a *admin) remove(name string) {
	op := a.w.linear.begin("topic "+name, deleteOp)
	for _, l := range a.w.logs {
		l.gone = l.gone || l.topic.name == name
	}
	a.change(op, func(b *broker.Broker, done func([]broker.TopicResult)) {
		b.DeleteTopics([]broker.TopicRef{{Name: name}}, done)
	})
}

// change asks the controller for a change that op stands for.
func (a *admin) change(op *operation, do func(*broker.Broker, func([]broker.TopicResult))) {
	w := a.w
	w.ask(w.leader(record.MetadataShard), 8*time.Second, func(b *broker.Broker, reply func(func())) {
		do(b, func(r []broker.TopicResult) {
			err := r[0].Err
			reply(func() {
				w.note("%s: %v %s: %v", a.name, op.kind, op.object, err)
				switch {
				case err == nil:
					op.exists = op.kind == deleteOp
					w.linear.end(op, true)
					w.cover.Changes++
				case is(err, broker.ErrTopicExists):
					op.exists = true
					w.linear.end(op, true)
				case is(err, broker.ErrUnknownTopic) && op.kind == deleteOp:
					w.linear.end(op, true)
				case is(err, broker.ErrUnknownTopic, broker.ErrUnknownFate, broker.ErrStorage):
					// A created topic that is gone before all shards have it: it was
					// created, and nobody knows when it was not any more.
				case isTransient(err):
					w.linear.end(op, false)
				default:
					w.fail("%s: %v %s: %v", a.name, op.kind, op.object, err)
				}
			})
		})
	}, func() {})
}

// alter changes settings, or the number of partitions.
func (a *admin) alter(name string) {
	w := a.w
	w.ask(w.leader(record.MetadataShard), 8*time.Second, func(b *broker.Broker, reply func(func())) {
		done := func(r []broker.TopicResult) { reply(func() {}) }
		if w.clients.IntN(2) == 0 {
			b.CreatePartitions([]broker.GrowTopic{{Name: name, Partitions: 2 + w.clients.Int32N(4)}}, false, done)
			return
		}
		b.AlterTopics([]broker.AlterTopic{{Name: name, Changes: []broker.ConfigChange{
			{Op: broker.ConfigSet, Name: "max.message.bytes", Value: fmt.Sprint(10_000 + w.clients.IntN(100_000))},
		}}}, false, done)
	}, func() {})
}

// write appends a record to a topic that may not be there, or not for long, and
// reads it all.
func (a *admin) write(name string) {
	w := a.w
	n := w.whoLeads(name, 0)
	id := w.send(a.own)
	value := binary.BigEndian.AppendUint64(nil, id)
	var builder record.Builder
	builder.Add(record.Record{Timestamp: w.clock.Now().UnixMilli(), Value: value})
	batch, err := builder.AppendTo(nil)
	if err != nil {
		panic(err)
	}
	plan := &topicPlan{name: name, partitions: 1, passing: true}
	w.ask(n, 0, func(b *broker.Broker, reply func(func())) {
		p := partitionAt(b, name, 0)
		if p == nil {
			return
		}
		l := w.log(p.ID(), plan, 0)
		p.Append(&broker.Append{Batch: batch, Done: func(ap *broker.Append) {
			base, err := ap.Base, ap.Err
			var f fetched
			if err == nil && !n.process.over() {
				f = w.fetch(n, p, l, p.Floor())
			}
			reply(func() {
				switch {
				case err == nil:
					w.at(l, base, id, "acknowledged to "+a.name)
					w.records[id].state = acked
					w.cover.Acked++
				case !is(err, broker.ErrUnknownFate, broker.ErrStorage):
					w.records[id].state = refused
				}
				if f.err == nil && len(f.batches) > 0 {
					w.check(l, n, f.floor, f.batches)
				}
			})
		}})
	}, func() {})
}

// deleteRecords raises the floor of the short topic.
func (a *admin) deleteRecords() {
	w := a.w
	n := w.whoLeads(a.short.name, 0)
	w.ask(n, 0, func(b *broker.Broker, reply func(func())) {
		p := partitionAt(b, a.short.name, 0)
		if p == nil || p.HighWatermark() == 0 {
			return
		}
		before := p.Floor() + record.Offset(w.clients.Int64N(int64(p.HighWatermark()-p.Floor())/4+1))
		l := w.log(p.ID(), a.short, 0)
		l.deleted = max(l.deleted, before)
		p.DeleteRecords(before, func(floor record.Offset, err error) {
			reply(func() {
				w.note("%s: deletes records below %d of %s: floor %d, %v", a.name, before, l.name, floor, err)
				if err == nil && floor < before {
					w.fail("%s: records below %d of %s were to be deleted, the floor is %d", a.name, before, l.name, floor)
				}
			})
		})
	}, func() {})
}
