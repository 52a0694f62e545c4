package sim

import "fmt"

// makeActors makes the clients; the first one makes the topics and lets the
// others begin.
func (w *world) makeActors() {
	plans := w.topicPlans()
	first := &founder{w: w, todo: plans}
	w.actors = append(w.actors, first)
	pick := func(i int) (*topicPlan, int32) {
		t := plans[i%3] // the topics that anybody may write to
		return t, w.clients.Int32N(t.partitions)
	}
	for i := range w.o.Producers + w.o.Plain {
		s := &stream{w: w, plain: i >= w.o.Producers, id: -1, window: 1 + w.clients.IntN(5)}
		s.name = fmt.Sprintf("producer-%d", i)
		s.topic, s.part = pick(i)
		w.actors = append(w.actors, s)
	}
	for i := range w.o.Keyed {
		s := &stream{w: w, name: fmt.Sprintf("keyed-%d", i), topic: planOf(plans, "latest"), id: -1, window: 1 + w.clients.IntN(5)}
		w.actors = append(w.actors, s, &reader{w: w, name: s.name + "-reader", topic: s.topic})
	}
	for i := range w.o.Readers {
		r := &reader{w: w, name: fmt.Sprintf("reader-%d", i)}
		if r.topic, r.part = pick(i); i%2 == 0 {
			s := w.actors[1+w.clients.IntN(w.o.Producers+w.o.Plain)].(*stream)
			r.topic, r.part = s.topic, s.part
		}
		w.actors = append(w.actors, r)
	}
	for i := range w.o.Members {
		m := &member{w: w, name: fmt.Sprintf("member-%d", i), group: groupName(i), topic: plans[0]}
		if w.clients.IntN(3) == 0 {
			m.static = staticPrefix + m.name
		}
		w.actors = append(w.actors, m)
	}
	if w.o.Members > 0 {
		w.actors = append(w.actors, &watcher{w: w, topic: plans[0]})
	}
	for i := range w.o.Admins {
		a := &admin{w: w, name: fmt.Sprintf("admin-%d", i), short: plans[1]}
		a.own = &stream{w: w, name: a.name, plain: true}
		w.actors = append(w.actors, a)
	}
	for i := range w.o.Transactors {
		t := planOf(plans, []string{"ledger", "balances"}[w.clients.IntN(2)])
		w.actors = append(w.actors, &transactor{
			w: w, id: fmt.Sprintf("txn-%d", i), topic: t, input: plans[0], bumps: w.clients.IntN(2) == 0,
		}, &committedReader{w: w, topic: t})
	}
	w.makeQueueActors()
	for range w.o.Careless {
		w.actors = append(w.actors, &careless{w: w})
	}
	first.begin()
}

// makeQueueActors makes those who work with queues.
func (w *world) makeQueueActors() {
	w.queues = newQueueHistory(w)
	if w.o.Queues == 0 {
		return
	}
	w.queues.plans = queuePlans(w.o.Seed, w.o.Queues)
	w.actors = append(w.actors, &queueFounder{w: w})
	for i, p := range w.queues.plans {
		for j := range 2 {
			name := fmt.Sprintf("%s-%d", p.name, j)
			if j == 0 || p.keys == 0 { // one at a time takes its time
				w.actors = append(w.actors, &publisher{w: w, queue: p, number: 2*i + j})
			}
			if p.lends > 0 {
				w.actors = append(w.actors, &receiver{w: w, queue: p, name: name})
			} else {
				w.actors = append(w.actors, &worker{w: w, queue: p, name: name, patient: j == 0})
			}
		}
		if p.delays {
			w.actors = append(w.actors, &scheduler{w: w, queue: p})
		}
	}
}

func planOf(plans []*topicPlan, name string) *topicPlan {
	for _, t := range plans {
		if t.name == name {
			return t
		}
	}
	panic("no such topic: " + name)
}
