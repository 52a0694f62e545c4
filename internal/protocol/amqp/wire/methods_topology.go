package wire

// ExchangeDeclare is exchange.declare.
type ExchangeDeclare struct {
	Ticket                                         uint16
	Exchange, Type                                 []byte
	Passive, Durable, AutoDelete, Internal, NoWait bool
	Arguments                                      Table
}

// ID returns the method's id.
func (*ExchangeDeclare) ID() ID { return IDExchangeDeclare }

func (m *ExchangeDeclare) walk(c *coder) {
	c.short(&m.Ticket)
	c.shortstr(&m.Exchange)
	c.shortstr(&m.Type)
	c.bits(&m.Passive, &m.Durable, &m.AutoDelete, &m.Internal, &m.NoWait)
	c.table(&m.Arguments)
}

// ExchangeDeclareOk is exchange.declare-ok.
type ExchangeDeclareOk struct{}

// ID returns the method's id.
func (*ExchangeDeclareOk) ID() ID { return IDExchangeDeclareOk }

func (*ExchangeDeclareOk) walk(*coder) {}

// ExchangeDelete is exchange.delete.
type ExchangeDelete struct {
	Ticket           uint16
	Exchange         []byte
	IfUnused, NoWait bool
}

// ID returns the method's id.
func (*ExchangeDelete) ID() ID { return IDExchangeDelete }

func (m *ExchangeDelete) walk(c *coder) {
	c.short(&m.Ticket)
	c.shortstr(&m.Exchange)
	c.bits(&m.IfUnused, &m.NoWait)
}

// ExchangeDeleteOk is exchange.delete-ok.
type ExchangeDeleteOk struct{}

// ID returns the method's id.
func (*ExchangeDeleteOk) ID() ID { return IDExchangeDeleteOk }

func (*ExchangeDeleteOk) walk(*coder) {}

// ExchangeBind is exchange.bind.
type ExchangeBind struct {
	Ticket                          uint16
	Destination, Source, RoutingKey []byte
	NoWait                          bool
	Arguments                       Table
}

// ID returns the method's id.
func (*ExchangeBind) ID() ID { return IDExchangeBind }

func (m *ExchangeBind) walk(c *coder) {
	c.short(&m.Ticket)
	c.shortstr(&m.Destination)
	c.shortstr(&m.Source)
	c.shortstr(&m.RoutingKey)
	c.bits(&m.NoWait)
	c.table(&m.Arguments)
}

// ExchangeBindOk is exchange.bind-ok.
type ExchangeBindOk struct{}

// ID returns the method's id.
func (*ExchangeBindOk) ID() ID { return IDExchangeBindOk }

func (*ExchangeBindOk) walk(*coder) {}

// ExchangeUnbind is exchange.unbind.
type ExchangeUnbind struct {
	Ticket                          uint16
	Destination, Source, RoutingKey []byte
	NoWait                          bool
	Arguments                       Table
}

// ID returns the method's id.
func (*ExchangeUnbind) ID() ID { return IDExchangeUnbind }

func (m *ExchangeUnbind) walk(c *coder) {
	c.short(&m.Ticket)
	c.shortstr(&m.Destination)
	c.shortstr(&m.Source)
	c.shortstr(&m.RoutingKey)
	c.bits(&m.NoWait)
	c.table(&m.Arguments)
}

// ExchangeUnbindOk is exchange.unbind-ok.
type ExchangeUnbindOk struct{}

// ID returns the method's id.
func (*ExchangeUnbindOk) ID() ID { return IDExchangeUnbindOk }

func (*ExchangeUnbindOk) walk(*coder) {}

// QueueDeclare is queue.declare.
type QueueDeclare struct {
	Ticket                                          uint16
	Queue                                           []byte
	Passive, Durable, Exclusive, AutoDelete, NoWait bool
	Arguments                                       Table
}

// ID returns the method's id.
func (*QueueDeclare) ID() ID { return IDQueueDeclare }

func (m *QueueDeclare) walk(c *coder) {
	c.short(&m.Ticket)
	c.shortstr(&m.Queue)
	c.bits(&m.Passive, &m.Durable, &m.Exclusive, &m.AutoDelete, &m.NoWait)
	c.table(&m.Arguments)
}

// QueueDeclareOk is queue.declare-ok.
type QueueDeclareOk struct {
	Queue                       []byte
	MessageCount, ConsumerCount uint32
}

// ID returns the method's id.
func (*QueueDeclareOk) ID() ID { return IDQueueDeclareOk }

func (m *QueueDeclareOk) walk(c *coder) {
	c.shortstr(&m.Queue)
	c.long(&m.MessageCount)
	c.long(&m.ConsumerCount)
}

// QueueBind is queue.bind.
type QueueBind struct {
	Ticket                      uint16
	Queue, Exchange, RoutingKey []byte
	NoWait                      bool
	Arguments                   Table
}

// ID returns the method's id.
func (*QueueBind) ID() ID { return IDQueueBind }

func (m *QueueBind) walk(c *coder) {
	c.short(&m.Ticket)
	c.shortstr(&m.Queue)
	c.shortstr(&m.Exchange)
	c.shortstr(&m.RoutingKey)
	c.bits(&m.NoWait)
	c.table(&m.Arguments)
}

// QueueBindOk is queue.bind-ok.
type QueueBindOk struct{}

// ID returns the method's id.
func (*QueueBindOk) ID() ID { return IDQueueBindOk }

func (*QueueBindOk) walk(*coder) {}

// QueuePurge is queue.purge.
type QueuePurge struct {
	Ticket uint16
	Queue  []byte
	NoWait bool
}

// ID returns the method's id.
func (*QueuePurge) ID() ID { return IDQueuePurge }

func (m *QueuePurge) walk(c *coder) {
	c.short(&m.Ticket)
	c.shortstr(&m.Queue)
	c.bits(&m.NoWait)
}

// QueuePurgeOk is queue.purge-ok.
type QueuePurgeOk struct {
	MessageCount uint32
}

// ID returns the method's id.
func (*QueuePurgeOk) ID() ID { return IDQueuePurgeOk }

func (m *QueuePurgeOk) walk(c *coder) {
	c.long(&m.MessageCount)
}

// QueueDelete is queue.delete.
type QueueDelete struct {
	Ticket                    uint16
	Queue                     []byte
	IfUnused, IfEmpty, NoWait bool
}

// ID returns the method's id.
func (*QueueDelete) ID() ID { return IDQueueDelete }

func (m *QueueDelete) walk(c *coder) {
	c.short(&m.Ticket)
	c.shortstr(&m.Queue)
	c.bits(&m.IfUnused, &m.IfEmpty, &m.NoWait)
}

// QueueDeleteOk is queue.delete-ok.
type QueueDeleteOk struct {
	MessageCount uint32
}

// ID returns the method's id.
func (*QueueDeleteOk) ID() ID { return IDQueueDeleteOk }

func (m *QueueDeleteOk) walk(c *coder) {
	c.long(&m.MessageCount)
}

// QueueUnbind is queue.unbind.
type QueueUnbind struct {
	Ticket                      uint16
	Queue, Exchange, RoutingKey []byte
	Arguments                   Table
}

// ID returns the method's id.
func (*QueueUnbind) ID() ID { return IDQueueUnbind }

func (m *QueueUnbind) walk(c *coder) {
	c.short(&m.Ticket)
	c.shortstr(&m.Queue)
	c.shortstr(&m.Exchange)
	c.shortstr(&m.RoutingKey)
	c.table(&m.Arguments)
}

// QueueUnbindOk is queue.unbind-ok.
type QueueUnbindOk struct{}

// ID returns the method's id.
func (*QueueUnbindOk) ID() ID { return IDQueueUnbindOk }

func (*QueueUnbindOk) walk(*coder) {}
