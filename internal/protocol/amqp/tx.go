package amqp

import (
	"errors"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// tx.select, tx.commit, tx.rollback: publishes and verdicts wait for the commit.
// It is answered when all of them are on the disk. Atomic is what goes to the
// same queues, as in RabbitMQ; a queue that refuses its part fails the commit
// (406) after the fact.

// transaction is what a channel has put off.
type transaction struct {
	batches []*batch
	returns []returned
	settles []putOff
	count   int
	bytes   int
}

type returned struct{ exchange, key, properties, body []byte }

// putOff is a verdict on a delivery.
type putOff struct {
	tag      uint64
	delivery delivery
	verdict  broker.Verdict
}

func txSelect(ch *channel, _ *wire.TxSelect) error {
	if ch.confirms.active() {
		return refuse(codePreconditionFailed, "cannot switch from confirm to tx mode")
	}
	if ch.tx == nil {
		ch.flush()
		ch.beginTx()
	}
	ch.reply(&wire.TxSelectOk{})
	return nil
}

func (ch *channel) beginTx() {
	ch.tx = new(transaction)
	ch.mu.Lock()
	ch.unacked.keep = true
	ch.mu.Unlock()
}

// publish puts off the channel's message.
func (t *transaction) publish(ch *channel, queues []*broker.Queue, f broker.Facts, body []byte) error {
	// Bound routes may change before the commit; what was found counts.
	n := len(t.batches)
	if n == 0 || !t.batches[n-1].takes(queues, f) || t.batches[n-1].builder.Size() >= maxBatchBytes {
		t.batches = append(t.batches, ch.begin(queues, f))
		n++
	}
	t.batches[n-1].add(ch, body)
	t.count++
	t.bytes += len(body) + len(ch.content.properties)
	return t.check()
}

// giveBack puts off the return of the channel's message.
func (t *transaction) giveBack(ch *channel, body []byte) {
	c := &ch.content
	m := message{exchange: c.exchange, key: c.key, properties: c.properties, body: body}
	m = m.clone()
	t.returns = append(t.returns, returned{m.exchange, m.key, m.properties, m.body})
	t.count++
	t.bytes += len(body) + len(c.properties)
}

// settle puts off a verdict.
func (t *transaction) settle(tag uint64, d delivery, v broker.Verdict) {
	t.settles = append(t.settles, putOff{tag, d, v})
	t.count++
}

// check refuses a transaction that has become too large.
func (t *transaction) check() error {
	if t.count > maxTransaction || t.bytes > maxTransactionBytes {
		return refuse(codePreconditionFailed, "a transaction of more than %d messages or %d bytes", maxTransaction, maxTransactionBytes)
	}
	return nil
}

func txCommit(ch *channel, _ *wire.TxCommit) error {
	t := ch.tx
	if t == nil {
		return refuse(codePreconditionFailed, "channel is not transactional")
	}
	for _, r := range t.returns {
		ch.giveBack(r.exchange, r.key, r.properties, r.body)
	}
	errs := make([]error, len(t.batches))
	for i, b := range t.batches {
		b.then = func(err error) { errs[i] = err }
		ch.send(b)
	}
	ch.mu.Lock()
	for _, s := range t.settles {
		ch.settledLocked(s.delivery, s.verdict)
	}
	ch.unacked.keep = false
	ch.unacked.trim()
	ch.releaseHeldLocked()
	ch.mu.Unlock()
	ch.beginTx()
	ch.touch()
	ch.settled()
	for _, err := range errs {
		switch {
		case errors.Is(err, broker.ErrUnknownQueue), err == nil:
		case errors.Is(err, broker.ErrRejected):
			return refuse(codePreconditionFailed, "partial tx completion")
		default:
			return err
		}
	}
	ch.reply(&wire.TxCommitOk{})
	return nil
}

func txRollback(ch *channel, _ *wire.TxRollback) error {
	t := ch.tx
	if t == nil {
		return refuse(codePreconditionFailed, "channel is not transactional")
	}
	ch.mu.Lock()
	for _, s := range t.settles {
		ch.unacked.restore(s.tag, s.delivery)
	}
	ch.mu.Unlock()
	ch.beginTx()
	ch.reply(&wire.TxRollbackOk{})
	return nil
}

// confirm.select: every publish from now on is confirmed.
func confirmSelect(ch *channel, m *wire.ConfirmSelect) error {
	if ch.tx != nil {
		return refuse(codePreconditionFailed, "cannot switch from tx to confirm mode")
	}
	ch.flushBatches() // what was published before is not counted
	ch.confirms.on()
	if !m.NoWait {
		ch.reply(&wire.ConfirmSelectOk{})
	}
	return nil
}
