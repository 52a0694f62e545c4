package sim

import "fmt"

// makeActors makes the clients; the first one makes the topics and lets the
// others begin.
func (w *world) makeActors() {
	plans := w.topicPlans()
	first := &founder{w: w, todo: plans}
	w.actors = append(w.actors, first)
	pick := func(i int) (*topicPlan, int32) {
		t := plans[i%len(plans)]
		return t, w.clients.Int32N(t.partitions)
	}
	for i := range w.o.Producers + w.o.Plain {
		s := &stream{w: w, plain: i >= w.o.Producers, id: -1, window: 1 + w.clients.IntN(5)}
		s.name = fmt.Sprintf("producer-%d", i)
		s.topic, s.part = pick(i)
		w.actors = append(w.actors, s)
	}
	for i := range w.o.Readers {
		r := &reader{w: w, name: fmt.Sprintf("reader-%d", i)}
		r.topic, r.part = pick(i)
		w.actors = append(w.actors, r)
	}
	first.begin()
}
