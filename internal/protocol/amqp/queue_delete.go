package amqp

import (
	"errors"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// queue.delete. One that does not exist is no error: nothing was in it.
func queueDelete(ch *channel, m *wire.QueueDelete) error {
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	if err := ch.allows(access.Delete, access.Topic, name); err != nil {
		return err
	}
	ch.settled()
	ch.holdOrphans()
	defer ch.tellOrphans()
	var n int64
	if queues := ch.server.opts.Broker.QueuesOf(ch.tenant, name); len(queues) > 0 {
		q := queues[0]
		if q.CheckLock(ch.owner) != nil {
			return locked(name, ch.tenant)
		}
		ch.ask(func(done func()) {
			ch.server.opts.Broker.DeleteQueue(q, m.IfUnused, m.IfEmpty, func(had int64, e error) { n, err = had, e; done() })
		})
	}
	switch {
	case errors.Is(err, broker.ErrInUse):
		return refuse(codePreconditionFailed, "queue '%s' in vhost '%s' in use", name, ch.tenant)
	case errors.Is(err, broker.ErrNotEmpty):
		return refuse(codePreconditionFailed, "queue '%s' in vhost '%s' not empty", name, ch.tenant)
	case errors.Is(err, broker.ErrUnknownQueue):
	case err != nil:
		return err
	}
	if !m.NoWait {
		ch.reply(&wire.QueueDeleteOk{MessageCount: uint32(n)})
	}
	return nil
}

// queue.purge drops the messages that are ready.
func queuePurge(ch *channel, m *wire.QueuePurge) error {
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	if err := ch.allows(access.Consume, access.Topic, name); err != nil {
		return err
	}
	ch.settled()
	queues, err := ch.queues(name)
	if err != nil {
		return err
	}
	if queues[0].IsStream() {
		return notOfStreams("queue.purge", queues[0])
	}
	var n int64
	for i := 0; i < len(queues) && err == nil; i++ {
		ch.ask(func(done func()) {
			queues[i].Purge(func(had int64, e error) { n, err = n+had, e; done() })
		})
	}
	switch {
	case errors.Is(err, broker.ErrUnknownQueue):
		return noQueue(name, ch.tenant)
	case err != nil:
		return err
	}
	if !m.NoWait {
		ch.reply(&wire.QueuePurgeOk{MessageCount: uint32(n)})
	}
	return nil
}
