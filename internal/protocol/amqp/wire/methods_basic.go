package wire

// BasicQos is basic.qos.
type BasicQos struct {
	PrefetchSize  uint32
	PrefetchCount uint16
	Global        bool
}

// ID returns the method's id.
func (*BasicQos) ID() ID { return IDBasicQos }

func (m *BasicQos) walk(c *coder) {
	c.long(&m.PrefetchSize)
	c.short(&m.PrefetchCount)
	c.bits(&m.Global)
}

// BasicQosOk is basic.qos-ok.
type BasicQosOk struct{}

// ID returns the method's id.
func (*BasicQosOk) ID() ID { return IDBasicQosOk }

func (*BasicQosOk) walk(*coder) {}

// BasicConsume is basic.consume.
type BasicConsume struct {
	Ticket                            uint16
	Queue, ConsumerTag                []byte
	NoLocal, NoAck, Exclusive, NoWait bool
	Arguments                         Table
}

// ID returns the method's id.
func (*BasicConsume) ID() ID { return IDBasicConsume }

func (m *BasicConsume) walk(c *coder) {
	c.short(&m.Ticket)
	c.shortstr(&m.Queue)
	c.shortstr(&m.ConsumerTag)
	c.bits(&m.NoLocal, &m.NoAck, &m.Exclusive, &m.NoWait)
	c.table(&m.Arguments)
}

// BasicConsumeOk is basic.consume-ok.
type BasicConsumeOk struct {
	ConsumerTag []byte
}

// ID returns the method's id.
func (*BasicConsumeOk) ID() ID { return IDBasicConsumeOk }

func (m *BasicConsumeOk) walk(c *coder) {
	c.shortstr(&m.ConsumerTag)
}

// BasicCancel is basic.cancel.
type BasicCancel struct {
	ConsumerTag []byte
	NoWait      bool
}

// ID returns the method's id.
func (*BasicCancel) ID() ID { return IDBasicCancel }

func (m *BasicCancel) walk(c *coder) {
	c.shortstr(&m.ConsumerTag)
	c.bits(&m.NoWait)
}

// BasicCancelOk is basic.cancel-ok.
type BasicCancelOk struct {
	ConsumerTag []byte
}

// ID returns the method's id.
func (*BasicCancelOk) ID() ID { return IDBasicCancelOk }

func (m *BasicCancelOk) walk(c *coder) {
	c.shortstr(&m.ConsumerTag)
}

// BasicPublish is basic.publish.
type BasicPublish struct {
	Ticket               uint16
	Exchange, RoutingKey []byte
	Mandatory, Immediate bool
}

// ID returns the method's id.
func (*BasicPublish) ID() ID { return IDBasicPublish }

func (m *BasicPublish) walk(c *coder) {
	c.short(&m.Ticket)
	c.shortstr(&m.Exchange)
	c.shortstr(&m.RoutingKey)
	c.bits(&m.Mandatory, &m.Immediate)
}

// BasicReturn is basic.return.
type BasicReturn struct {
	ReplyCode                       uint16
	ReplyText, Exchange, RoutingKey []byte
}

// ID returns the method's id.
func (*BasicReturn) ID() ID { return IDBasicReturn }

func (m *BasicReturn) walk(c *coder) {
	c.short(&m.ReplyCode)
	c.shortstr(&m.ReplyText)
	c.shortstr(&m.Exchange)
	c.shortstr(&m.RoutingKey)
}

// BasicDeliver is basic.deliver.
type BasicDeliver struct {
	ConsumerTag          []byte
	DeliveryTag          uint64
	Redelivered          bool
	Exchange, RoutingKey []byte
}

// ID returns the method's id.
func (*BasicDeliver) ID() ID { return IDBasicDeliver }

func (m *BasicDeliver) walk(c *coder) {
	c.shortstr(&m.ConsumerTag)
	c.longlong(&m.DeliveryTag)
	c.bits(&m.Redelivered)
	c.shortstr(&m.Exchange)
	c.shortstr(&m.RoutingKey)
}

// BasicGet is basic.get.
type BasicGet struct {
	Ticket uint16
	Queue  []byte
	NoAck  bool
}

// ID returns the method's id.
func (*BasicGet) ID() ID { return IDBasicGet }

func (m *BasicGet) walk(c *coder) {
	c.short(&m.Ticket)
	c.shortstr(&m.Queue)
	c.bits(&m.NoAck)
}

// BasicGetOk is basic.get-ok.
type BasicGetOk struct {
	DeliveryTag          uint64
	Redelivered          bool
	Exchange, RoutingKey []byte
	MessageCount         uint32
}

// ID returns the method's id.
func (*BasicGetOk) ID() ID { return IDBasicGetOk }

func (m *BasicGetOk) walk(c *coder) {
	c.longlong(&m.DeliveryTag)
	c.bits(&m.Redelivered)
	c.shortstr(&m.Exchange)
	c.shortstr(&m.RoutingKey)
	c.long(&m.MessageCount)
}

// BasicGetEmpty is basic.get-empty.
type BasicGetEmpty struct {
	ClusterID []byte
}

// ID returns the method's id.
func (*BasicGetEmpty) ID() ID { return IDBasicGetEmpty }

func (m *BasicGetEmpty) walk(c *coder) {
	c.shortstr(&m.ClusterID)
}

// BasicAck is basic.ack.
type BasicAck struct {
	DeliveryTag uint64
	Multiple    bool
}

// ID returns the method's id.
func (*BasicAck) ID() ID { return IDBasicAck }

func (m *BasicAck) walk(c *coder) {
	c.longlong(&m.DeliveryTag)
	c.bits(&m.Multiple)
}

// BasicReject is basic.reject.
type BasicReject struct {
	DeliveryTag uint64
	Requeue     bool
}

// ID returns the method's id.
func (*BasicReject) ID() ID { return IDBasicReject }

func (m *BasicReject) walk(c *coder) {
	c.longlong(&m.DeliveryTag)
	c.bits(&m.Requeue)
}

// BasicRecoverAsync is basic.recover-async.
type BasicRecoverAsync struct {
	Requeue bool
}

// ID returns the method's id.
func (*BasicRecoverAsync) ID() ID { return IDBasicRecoverAsync }

func (m *BasicRecoverAsync) walk(c *coder) {
	c.bits(&m.Requeue)
}

// BasicRecover is basic.recover.
type BasicRecover struct {
	Requeue bool
}

// ID returns the method's id.
func (*BasicRecover) ID() ID { return IDBasicRecover }

func (m *BasicRecover) walk(c *coder) {
	c.bits(&m.Requeue)
}

// BasicRecoverOk is basic.recover-ok.
type BasicRecoverOk struct{}

// ID returns the method's id.
func (*BasicRecoverOk) ID() ID { return IDBasicRecoverOk }

func (*BasicRecoverOk) walk(*coder) {}

// BasicNack is basic.nack.
type BasicNack struct {
	DeliveryTag       uint64
	Multiple, Requeue bool
}

// ID returns the method's id.
func (*BasicNack) ID() ID { return IDBasicNack }

func (m *BasicNack) walk(c *coder) {
	c.longlong(&m.DeliveryTag)
	c.bits(&m.Multiple, &m.Requeue)
}

// ConfirmSelect is confirm.select.
type ConfirmSelect struct {
	NoWait bool
}

// ID returns the method's id.
func (*ConfirmSelect) ID() ID { return IDConfirmSelect }

func (m *ConfirmSelect) walk(c *coder) {
	c.bits(&m.NoWait)
}

// ConfirmSelectOk is confirm.select-ok.
type ConfirmSelectOk struct{}

// ID returns the method's id.
func (*ConfirmSelectOk) ID() ID { return IDConfirmSelectOk }

func (*ConfirmSelectOk) walk(*coder) {}

// TxSelect is tx.select.
type TxSelect struct{}

// ID returns the method's id.
func (*TxSelect) ID() ID { return IDTxSelect }

func (*TxSelect) walk(*coder) {}

// TxSelectOk is tx.select-ok.
type TxSelectOk struct{}

// ID returns the method's id.
func (*TxSelectOk) ID() ID { return IDTxSelectOk }

func (*TxSelectOk) walk(*coder) {}

// TxCommit is tx.commit.
type TxCommit struct{}

// ID returns the method's id.
func (*TxCommit) ID() ID { return IDTxCommit }

func (*TxCommit) walk(*coder) {}

// TxCommitOk is tx.commit-ok.
type TxCommitOk struct{}

// ID returns the method's id.
func (*TxCommitOk) ID() ID { return IDTxCommitOk }

func (*TxCommitOk) walk(*coder) {}

// TxRollback is tx.rollback.
type TxRollback struct{}

// ID returns the method's id.
func (*TxRollback) ID() ID { return IDTxRollback }

func (*TxRollback) walk(*coder) {}

// TxRollbackOk is tx.rollback-ok.
type TxRollbackOk struct{}

// ID returns the method's id.
func (*TxRollbackOk) ID() ID { return IDTxRollbackOk }

func (*TxRollbackOk) walk(*coder) {}
