package broker

// Facts are what the broker must know of published records without reading
// them. All records of a batch share them.
type Facts struct {
	// Level is the priority, clamped to each queue's MaxPriority.
	Level uint8
	// Expires says that the records live TTL ms at most.
	Expires bool
	TTL     int64
	// Delay is for how many ms they are held back.
	Delay int64
	// Bytes is the size of the bodies of all records together, which the limits
	// of queues count.
	Bytes int64
}

// Publish is one batch on its way into queues (and topics of one partition). The
// caller fills the first fields, and may pool and reuse the whole after Done.
type Publish struct {
	// Batch is one record batch, checked with record.Validate by the caller. It
	// belongs to the broker until Done; the broker copies and never writes it.
	Batch []byte
	// Targets are the queues, each once. A queue that was deleted meanwhile
	// counts as having taken the batch.
	Targets []*Queue
	Facts   Facts
	// Done is called once, on a shard's loop or in Publish, when every queue has
	// answered. It must not block.
	Done func(*Publish)

	// Err is nil when the batch is committed in every queue; otherwise what one
	// of them answered: ErrRejected (the queue is full), ErrNotLeader,
	// ErrUnknownFate, ErrBusy, ErrDiskFull, ErrStorage, ErrClosed, ErrTooLarge.
	// Other queues may have the batch.
	Err error

	publishing
}

// Publish appends a batch to queues. It never blocks. What one goroutine
// publishes keeps its order in every queue. The bytes are stored once per shard.
func (b *Broker) Publish(p *Publish) { b.publish(p) }
