package sim

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/group"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// transaction is what is known of one.
type transaction struct {
	name   string
	by     *transactor
	before *transaction // of the same producer
	// asked says that its producer has asked to commit it: before, nobody may
	// see any of it.
	asked bool
	fate  fate
	why   string // how its fate is known
	// from and to are the input that it stands for, from -1 if it has none.
	from, to record.Offset
	// reads are the transactions whose records it has read.
	reads map[*transaction]bool
	mark  int // of the search for cycles
}

// fate is how a transaction ends, for all partitions and everybody alike.
type fate uint8

const (
	undecided fate = iota
	committed
	aborted
)

func (f fate) String() string { return [...]string{"undecided", "committed", "aborted"}[f] }

// decided notes a sign of how a transaction has ended: all signs must agree.
func (w *world) decided(t *transaction, f fate, why string) {
	switch {
	case f == committed && !t.asked:
		w.fail("%s is committed (%s), which nobody has asked for", t.name, why)
	case t.fate != undecided && t.fate != f:
		w.fail("%s is %v (%s) and %v (%s)", t.name, t.fate, t.why, f, why)
	}
	if t.fate == undecided {
		t.fate, t.why = f, why
		if f == committed {
			w.cover.TxnsCommitted++
		} else {
			w.cover.TxnsAborted++
		}
	}
}

// fetchCommitted is fetch for a reader of committed data.
func (w *world) fetchCommitted(n *node, p *broker.Partition, l *partitionLog, from record.Offset) fetched {
	f := w.fetchUpTo(n, p, l, from, p.LastStable())
	if f.err == nil && len(f.batches) > 0 {
		f.aborted = p.Aborted(nil, from, f.next)
	}
	return f
}

// takeCommitted reads what was fetched as Kafka's consumers do, which leave out
// the records of aborted transactions, and returns the transactions that it shows.
func (w *world) takeCommitted(l *partitionLog, n *node, f fetched) (shown []*transaction) {
	if f.err != nil {
		return nil
	}
	w.check(l, n, f.from, f.batches)
	slices.SortFunc(f.aborted, func(a, b topic.Aborted) int { return cmp.Compare(a.First, b.First) })
	left := map[int64]bool{}
	for _, b := range f.batches {
		h, err := record.ParseHeader(b)
		if err != nil {
			return shown // check has said so
		}
		for len(f.aborted) > 0 && f.aborted[0].First <= h.LastOffset() {
			left[f.aborted[0].Producer] = true
			f.aborted = f.aborted[1:]
		}
		if h.Control() {
			delete(left, h.ProducerID)
			continue
		}
		err = record.Records(b, func(r record.Record) error {
			if id, ok := marked(&r); ok && w.failure == nil {
				shown = append(shown, w.judgeRecord(l, n, r.Offset, id, &h, left[h.ProducerID])...)
			}
			return nil
		})
		if err != nil {
			return shown
		}
	}
	return shown
}

// judgeRecord holds a record that a reader of committed data gets, or leaves out,
// against what is known of its transaction.
func (w *world) judgeRecord(l *partitionLog, n *node, o record.Offset, id uint64, h *record.Header, leftOut bool) []*transaction {
	t := w.records[id].txn
	switch {
	case (t != nil) != h.Transactional():
		w.fail("node %d: record %d at %d of %s is of transaction %v, the batch says otherwise", n.id, id, o, l.name, t)
	case t == nil:
	case leftOut:
		w.cover.LeftOut++
		w.decided(t, aborted, fmt.Sprintf("left out at %d of %s on node %d", o, l.name, n.id))
	default:
		w.decided(t, committed, fmt.Sprintf("shown at %d of %s on node %d", o, l.name, n.id))
		return []*transaction{t}
	}
	return nil
}

// committedReader reads what is committed, from anywhere and at any node.
type committedReader struct {
	w      *world
	topic  *topicPlan
	pos    record.Offset
	ending bool
}

func (r *committedReader) begin()       { r.w.after(around(r.w.clients, time.Second), r.tick) }
func (r *committedReader) finish()      { r.ending = true }
func (r *committedReader) busy() string { return "" }

func (r *committedReader) tick() {
	if r.ending {
		return
	}
	w := r.w
	w.after(around(w.clients, w.o.Pace), r.tick)
	n, part := w.anyone(), w.clients.Int32N(r.topic.partitions)
	w.ask(n, 0, func(b *broker.Broker, reply func(func())) {
		p := partitionAt(b, r.topic.name, part)
		if p == nil {
			return
		}
		l := w.log(p.ID(), r.topic, part)
		from := max(p.LastStable()-record.Offset(w.clients.IntN(60)), p.Floor())
		if w.clients.IntN(4) == 0 {
			from = p.Floor() + record.Offset(w.clients.Int64N(int64(p.LastStable()-p.Floor())+1))
		}
		f := w.fetchCommitted(n, p, l, from)
		reply(func() { w.takeCommitted(l, n, f) })
	}, func() {})
}

// judgeTransactions looks at all transactions once everything was read: what is
// left open, how the input was consumed, and who depends on whom.
func (w *world) judgeTransactions() {
	for _, a := range w.actors {
		if x, ok := a.(*transactor); ok && w.failure == nil {
			w.judgeInput(x)
		}
	}
	for _, t := range w.txns {
		if w.failure == nil && t.fate == committed && t.cyclic() {
			w.fail("%s depends on itself, by way of what it read: a cycle (G1c)", t.name)
		}
	}
}

// judgeInput says whether the committed transactions have consumed the input of
// a producer, all of it and nothing twice.
func (w *world) judgeInput(x *transactor) {
	at := record.Offset(0)
	for _, t := range w.txns {
		if t.by != x || t.from < 0 || t.fate == aborted || !t.asked {
			continue
		}
		if t.fate == undecided {
			return // all that would tell was compacted away
		}
		if t.from != at {
			w.fail("%s has committed input %d to %d, and the one before it ends at %d", t.name, t.from, t.to, at)
			return
		}
		at = t.to
	}
	answered := false
	for range 20 {
		n := w.coordinator(x.id)
		if answered || n == nil {
			continue
		}
		t := n.broker.Topic(x.input.name)
		n.broker.FetchOffsets(x.id, []broker.GroupPartition{{Topic: t.ID}}, func(os []group.Offset, err error) {
			if answered = err == nil; answered && max(os[0].Offset, 0) != at {
				w.fail("%s has committed input up to %d; its transactions, up to %d", x.id, os[0].Offset, at)
			}
		})
		n.touch()
		w.until(w.clock.Mono() + time.Second)
	}
}

// The marks of cyclic.
const (
	unvisited = iota
	onPath
	visited
)

// cyclic reports whether a committed transaction can be reached from itself, along
// what it read and what its producer committed before.
func (t *transaction) cyclic() bool {
	switch t.mark {
	case onPath:
		return true
	case visited:
		return false
	}
	t.mark = onPath
	defer func() { t.mark = visited }()
	before := t.before
	for before != nil && before.fate != committed {
		before = before.before
	}
	if before != nil && before.cyclic() {
		return true
	}
	for r := range t.reads {
		if r.cyclic() {
			return true
		}
	}
	return false
}
