package amqp

import (
	"errors"
	"strings"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// exchange.delete. One that does not exist is no error.
func exchangeDelete(ch *channel, m *wire.ExchangeDelete) error {
	name := cleanName(m.Exchange)
	if err := ch.allows(access.Delete, access.Exchange, name); err != nil {
		return err
	}
	if err := notDefault(name); err != nil {
		return err
	}
	if strings.HasPrefix(name, reservedPrefix) {
		return refuse(codeAccessRefused, "deletion of system exchange '%s' in vhost '%s' not allowed", name, ch.tenant)
	}
	var err error
	ch.settled()
	ch.ask(func(done func()) {
		ch.server.opts.Broker.DeleteExchange(ch.tenant, name, m.IfUnused, func(e error) { err = e; done() })
	})
	switch {
	case errors.Is(err, broker.ErrInUse):
		return refuse(codePreconditionFailed, "exchange '%s' in vhost '%s' in use", name, ch.tenant)
	case err != nil:
		return err
	}
	if !m.NoWait {
		ch.reply(&wire.ExchangeDeleteOk{})
	}
	return nil
}
