package sim

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

// receiver takes messages for a time, and says with their leases alone what becomes
// of them: also to the next leader, and also when it is late.
type receiver struct {
	w      *world
	queue  *queuePlan
	name   string
	ending bool
	asking bool
	held   []*ownership
	under  int
}

func (k *receiver) begin()  { k.w.after(around(k.w.clients, k.w.o.Pace), k.tick) }
func (k *receiver) finish() { k.ending = true }

func (k *receiver) busy() string {
	w := worker{w: k.w, queue: k.queue, name: k.name, held: k.held, under: k.under}
	return w.busy()
}

func (k *receiver) tick() {
	pace := k.w.o.Pace
	if k.ending {
		pace /= 8
	}
	k.w.after(around(k.w.clients, pace), k.tick)
	if !k.asking && len(k.held) < 6 {
		k.receive()
	}
	if len(k.held) > 0 && k.under < 3 {
		k.settle()
	}
}

func (k *receiver) receive() {
	n := k.w.leaderOf(k.queue)
	if n == nil || n.paused {
		return
	}
	k.asking = true
	h := &k.w.queues
	h.receives++
	number := h.receives
	most, wait := 1+k.w.clients.IntN(4), time.Duration(k.w.clients.IntN(2))*time.Second
	if k.ending {
		most, wait = 20, 0
	}
	until := k.w.clock.Mono() + slow(time.Duration(k.queue.lends)*time.Millisecond)
	k.w.ask(n, 0, func(b *broker.Broker, reply func(func())) {
		p, q := n.process, b.Queue("", k.queue.name)
		if q == nil {
			reply(func() { k.asking = false })
			return
		}
		q.Receive(&broker.ReceiveSpec{
			Owner: k.name, Max: most, For: k.queue.lends, Wait: wait,
			Done: func(ds []broker.Delivery, err error) {
				for i := range ds {
					if p.over() {
						break
					}
					if o := h.deliveredTo(k.name, &ds[i], number, until); o != nil {
						k.held = append(k.held, o)
					}
				}
				if err != nil && !isTransient(err) {
					k.w.fail("%s cannot receive: %v", k.name, err)
				}
				reply(func() { k.asking = false })
			},
		})
	}, func() { k.asking = false })
}

// settle decides about some of what is held, or lets go of it without a word.
func (k *receiver) settle() {
	n := k.w.leaderOf(k.queue)
	if n == nil {
		return
	}
	count := 1 + k.w.clients.IntN(len(k.held))
	some := slices.Clone(k.held[:count])
	k.held = slices.Delete(k.held, 0, count)
	h := &k.w.queues
	if !k.ending && k.w.clients.IntN(8) == 0 {
		return // they come back by themselves
	}
	v := h.verdict(k.queue, k.ending)
	k.under++
	now := k.w.clock.Mono()
	ids := h.asked(v, some)
	k.w.ask(n, 0, func(b *broker.Broker, reply func(func())) {
		q := b.Queue("", k.queue.name)
		if q == nil {
			reply(func() { k.under-- })
			return
		}
		q.SettleLent(v, false, ids, func(each []error, err error) {
			reply(func() {
				k.under--
				k.w.note("%s: verdict %d on %d messages from %d on: %v %v", k.name, v, len(some), some[0].id, each, err)
				if err != nil {
					return
				}
				var good []*ownership
				for i, o := range some {
					if each[i] == nil {
						good = append(good, o)
					}
				}
				h.confirmed(v, good, now)
			})
		})
	}, func() { k.under-- })
}

// scheduler looks at what waits for its time in a queue, cancels some of it, and
// has some delivered at once.
type scheduler struct {
	w      *world
	queue  *queuePlan
	ending bool
	asking bool
}

func (s *scheduler) begin()  { s.w.after(around(s.w.clients, 4*s.w.o.Pace), s.tick) }
func (s *scheduler) finish() { s.ending = true }

func (s *scheduler) busy() string {
	if s.asking {
		return "a schedule is being changed"
	}
	return ""
}

func (s *scheduler) tick() {
	if s.ending {
		return
	}
	s.w.after(around(s.w.clients, 4*s.w.o.Pace), s.tick)
	n := s.w.leaderOf(s.queue)
	if n == nil || s.asking || !s.w.queues.ready {
		return
	}
	s.asking = true
	s.w.ask(n, 0, func(b *broker.Broker, reply func(func())) {
		p := n.process
		q := b.Queue("", s.queue.name)
		if q == nil {
			reply(func() { s.asking = false })
			return
		}
		q.Scheduled(0, 100, func(list []broker.Scheduled, err error) {
			if err != nil || len(list) == 0 || p.over() {
				reply(func() { s.asking = false })
				return
			}
			s.change(q, list, reply)
		})
	}, func() { s.asking = false })
}

// change cancels one of what is scheduled, or has it delivered. It runs on the
// leader.
func (s *scheduler) change(q *broker.Queue, list []broker.Scheduled, reply func(func())) {
	h := &s.w.queues
	x := list[s.w.clients.IntN(len(list))]
	id, err := messageAt(q.Partition(), x.Offset)
	if err != nil || id >= len(h.messages) { // its disk may be bad
		reply(func() { s.asking = false })
		return
	}
	m := &h.messages[id]
	if m.cancelled {
		s.w.fail("message %d is scheduled, and was cancelled", id)
	}
	answer := func(what string, then func()) func(error) {
		return func(err error) {
			reply(func() {
				s.asking = false
				s.w.note("message %d: %s: %v", id, what, err)
				if err == nil {
					then()
				} else if !isTransient(err) && !is(err, broker.ErrNotScheduled) {
					s.w.fail("message %d: %s: %v", id, what, err)
				}
			})
		}
	}
	if s.w.clients.IntN(2) == 0 {
		m.cancelling = true
		q.CancelScheduled(x, answer("cancelled", func() {
			m.cancelled = true
			s.w.cover.Cancelled++
		}))
		return
	}
	m.notBefore, m.hurried = 0, s.w.clock.Mono()
	q.DeliverNow(x, answer("delivered now", func() {}))
}

// messageAt returns the number of the message at an offset.
func messageAt(p *broker.Partition, o record.Offset) (id int, err error) {
	r := broker.Result{Whole: true}
	if err := p.Read(&r, o, o+1, 1, true); err != nil {
		return 0, fmt.Errorf("at offset %d: %w", o, err)
	}
	defer r.Release()
	id = -1
	for _, b := range r.Buffers {
		err = record.Walk(b, func(batch []byte, _ record.Header) error {
			return record.Records(batch, func(rec record.Record) error {
				if rec.Offset == o {
					id = int(binary.LittleEndian.Uint64(rec.Value))
				}
				return nil
			})
		})
	}
	if id < 0 {
		return 0, fmt.Errorf("nothing at offset %d", o)
	}
	return id, err
}
