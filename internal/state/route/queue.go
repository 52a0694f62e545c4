package route

import (
	"fmt"

	"github.com/polylog-mq/polylog/internal/codec"
)

// Queue is what a queue was declared as: the attributes of its topic, encoded.
// It never changes.
type Queue struct {
	Durable, AutoDelete bool
	// Exclusive says that only the owner, a session, may use it.
	Exclusive bool
	// Owner is the session or incarnation that the queue ends with; the zero value
	// for one that is durable.
	Owner Owner
	// Arguments are those of the declaration, byte for byte. Read only.
	Arguments Table
	// Settings are those of the lease set that the arguments ask for, encoded,
	// before any policy; none if the queue was not declared, and of a stream.
	Settings []byte
}

// queueVersion begins the encoding of a Queue.
const queueVersion = 1

// flagExclusive stands where exchanges have flagInternal.
const flagExclusive = flagInternal

// AppendTo appends the encoding that DecodeQueue reads (docs/format/route.md).
func (q *Queue) AppendTo(dst []byte) []byte {
	dst = append(dst, queueVersion, flags(q.Durable, q.AutoDelete, q.Exclusive))
	dst = appendOwner(dst, q.Owner)
	dst = codec.AppendBytes(dst, q.Arguments)
	if len(q.Settings) > 0 {
		dst = codec.AppendBytes(dst, q.Settings)
	}
	return dst
}

// DecodeQueue reads what AppendTo wrote. No bytes at all are a durable queue
// without arguments: one that was made otherwise than by a declaration. It keeps
// nothing of b.
func DecodeQueue(b []byte) (*Queue, error) {
	if len(b) == 0 {
		return &Queue{Durable: true}, nil
	}
	r := codec.NewReader(b)
	if v := r.Byte(); v != queueVersion {
		r.Fail("the attributes of a queue of version %d", v)
	}
	q := &Queue{}
	q.Durable, q.AutoDelete, q.Exclusive = readFlags(&r)
	q.Owner, q.Arguments = readOwner(&r), readTable(&r)
	if r.Len() > 0 {
		q.Settings = append([]byte(nil), r.Bytes(MaxTableLen)...)
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("decoding the attributes of a queue: %w", err)
	}
	return q, nil
}

// Check refuses arguments that are too long or malformed: ErrInvalidArgument.
func (q *Queue) Check() error {
	if len(q.Arguments) > MaxTableLen/2 {
		return fmt.Errorf("%w: the arguments are longer than %d bytes", ErrInvalidArgument, MaxTableLen/2)
	}
	if err := q.Arguments.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidArgument, err)
	}
	return nil
}

// MayUse returns nil if a session may use the queue, else an ErrLocked in
// RabbitMQ's words.
func (q *Queue) MayUse(by Owner, tenant, name string) error {
	if !q.Exclusive || q.Owner == by {
		return nil
	}
	return locked(tenant, name)
}

// DeclaredBy also refuses the owner of another queue that it declares exclusive
// although it is not (rabbit_amqqueue:check_exclusive_access, strict).
func (q *Queue) DeclaredBy(again *Queue, tenant, name string) error {
	if q.Exclusive != again.Exclusive || q.Exclusive && q.Owner != again.Owner {
		return locked(tenant, name)
	}
	return nil
}

func locked(tenant, name string) error {
	return refuse(ErrLocked, "cannot obtain exclusive access to locked queue '%s' in vhost '%s'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.",
		name, TenantName(tenant))
}
