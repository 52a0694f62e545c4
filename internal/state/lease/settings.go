package lease

import (
	"fmt"
	"math"

	"github.com/polylog-mq/polylog/internal/codec"
)

// Settings govern a lease set. The zero value is not the default: see
// DefaultSettings. It never changes once given away.
type Settings struct {
	// MessageTTL is how long a record may wait, in ms; -1 for ever. A record
	// keeps what held when it was appended.
	MessageTTL int64
	// Expires is after how long without consumers and without a get or declare
	// the queue itself is deleted, in ms; 0 never.
	Expires int64

	// MaxLength and MaxBytes bound the records that are ready, and the bytes of
	// their bodies; -1 for no limit. Overflow says what happens beyond.
	MaxLength int64
	MaxBytes  int64
	Overflow  Overflow

	// DeadLetter says that records which die are published again, to
	// DeadLetterExchange under DeadLetterKey, or under their own routing keys
	// if KeepKeys is set.
	DeadLetter         bool
	KeepKeys           bool
	DeadLetterExchange string
	DeadLetterKey      string

	// MaxPriority is the highest priority level, 0 to 255.
	MaxPriority uint8
	// SingleActive lets one consumer at a time have records.
	SingleActive bool
	// Grouped gives records that have the same key one at a time, in their order;
	// others go on. There are no priorities then.
	Grouped bool
	// DeliveryLimit is how often a record may be given back, counted, before it
	// dies; -1 for any number.
	DeliveryLimit int32
	// Retry says when a record that was given back is given again.
	Retry Retry
	// RateLimit bounds the deliveries per second, InFlightLimit the leases at a
	// time; 0 for no limit.
	RateLimit     int32
	InFlightLimit int32

	// Retention is for how long records are kept after they were appended, in
	// ms, also when they are settled, so that the queue can be replayed: 0 until
	// they are settled, -1 for ever. What is not settled is always kept.
	Retention int64
	// ConsumerTimeout is how long a lease of a session may last before the
	// session is told to end, in ms; 0 for ever.
	ConsumerTimeout int64
}

// Retry is the policy of exponential backoff. Attempt n (from 1) waits
// First·Factor^(n-1), at most Cap, give or take Jitter.
type Retry struct {
	First  int64 // ms; 0: at once, and no other field counts but Attempts
	Cap    int64 // ms; 0: no limit
	Factor int32 // thousandths; below 1,000 counts as 1,000
	Jitter int32 // thousandths of the delay by which it is varied, 0 to 1,000
	// Attempts is after how many returns the record dies; 0 for any number.
	Attempts int32
}

// Overflow says what happens when a queue is full.
type Overflow uint8

// The policies of overflow.
const (
	DropHead                Overflow = iota // the oldest of the highest level dies
	RejectPublish                           // what is published is refused
	RejectPublishDeadLetter                 // and dead-lettered
)

// DefaultSettings are those of a queue that says nothing.
func DefaultSettings() Settings {
	return Settings{MessageTTL: -1, MaxLength: -1, MaxBytes: -1, DeliveryLimit: -1}
}

// MaxTime bounds every duration of settings, in ms: ten years, as RabbitMQ has
// it.
const MaxTime = 315_360_000_000

// Check returns an error that names the field which is out of range.
func (s *Settings) Check() error {
	for _, f := range [...]struct {
		name             string
		value, low, high int64
	}{
		{"MessageTTL", s.MessageTTL, -1, MaxTime},
		{"Expires", s.Expires, 0, MaxTime},
		{"MaxLength", s.MaxLength, -1, math.MaxInt64},
		{"MaxBytes", s.MaxBytes, -1, math.MaxInt64},
		{"Overflow", int64(s.Overflow), 0, int64(RejectPublishDeadLetter)},
		{"DeliveryLimit", int64(s.DeliveryLimit), -1, math.MaxInt32},
		{"Retry.First", s.Retry.First, 0, MaxTime},
		{"Retry.Cap", s.Retry.Cap, 0, MaxTime},
		{"Retry.Factor", int64(s.Retry.Factor), 0, 1_000_000},
		{"Retry.Jitter", int64(s.Retry.Jitter), 0, 1_000},
		{"Retry.Attempts", int64(s.Retry.Attempts), 0, math.MaxInt32},
		{"RateLimit", int64(s.RateLimit), 0, math.MaxInt32},
		{"InFlightLimit", int64(s.InFlightLimit), 0, math.MaxInt32},
		{"Retention", s.Retention, -1, MaxTime},
		{"ConsumerTimeout", s.ConsumerTimeout, 0, MaxTime},
		{"DeadLetterExchange", int64(len(s.DeadLetterExchange)), 0, maxName},
		{"DeadLetterKey", int64(len(s.DeadLetterKey)), 0, maxName},
	} {
		if f.value < f.low || f.value > f.high {
			return fmt.Errorf("%w: %s is %d, must be %d to %d", ErrInvalidSettings, f.name, f.value, f.low, f.high)
		}
	}
	if s.Grouped && s.MaxPriority > 0 {
		return fmt.Errorf("%w: Grouped, and MaxPriority is %d", ErrInvalidSettings, s.MaxPriority)
	}
	return nil
}

// settingsVersion begins the encoding of Settings; a later version may append
// fields.
const settingsVersion = 1

const (
	flagDeadLetter = 1 << iota
	flagKeepKeys
	flagSingleActive
	flagGrouped
	settingsFlags = 1<<iota - 1
)

func (s *Settings) flags() (f byte) {
	for i, on := range [...]bool{s.DeadLetter, s.KeepKeys, s.SingleActive, s.Grouped} {
		if on {
			f |= 1 << i
		}
	}
	return f
}

// AppendTo appends the encoding that DecodeSettings reads (docs/format/lease.md).
func (s *Settings) AppendTo(dst []byte) []byte {
	dst = append(dst, settingsVersion, s.flags(), byte(s.Overflow), s.MaxPriority)
	for _, v := range [...]int64{
		s.MessageTTL, s.Expires, s.MaxLength, s.MaxBytes, int64(s.DeliveryLimit),
		s.Retry.First, s.Retry.Cap, int64(s.Retry.Factor), int64(s.Retry.Jitter), int64(s.Retry.Attempts),
		int64(s.RateLimit), int64(s.InFlightLimit), s.Retention, s.ConsumerTimeout,
	} {
		dst = codec.AppendVarint(dst, v)
	}
	dst = codec.AppendBytes(dst, s.DeadLetterExchange)
	return codec.AppendBytes(dst, s.DeadLetterKey)
}

// DecodeSettings reads what AppendTo wrote. It keeps nothing of b. Its error
// wraps codec.ErrMalformed or ErrInvalidSettings.
func DecodeSettings(b []byte) (*Settings, error) {
	r := codec.NewReader(b)
	if v := r.Byte(); v != settingsVersion {
		r.Fail("settings of version %d", v)
	}
	flags := r.Byte()
	if flags > settingsFlags {
		r.Fail("settings with flags %#x", flags)
	}
	long := func() int64 { return r.Varint(math.MinInt64, math.MaxInt64) }
	integer := func() int32 { return int32(r.Varint(math.MinInt32, math.MaxInt32)) }
	s := &Settings{
		DeadLetter: flags&flagDeadLetter != 0, KeepKeys: flags&flagKeepKeys != 0,
		SingleActive: flags&flagSingleActive != 0,
		Grouped:      flags&flagGrouped != 0, Overflow: Overflow(r.Byte()), MaxPriority: r.Byte(),
		MessageTTL: long(), Expires: long(), MaxLength: long(), MaxBytes: long(), DeliveryLimit: integer(),
		Retry:     Retry{First: long(), Cap: long(), Factor: integer(), Jitter: integer(), Attempts: integer()},
		RateLimit: integer(), InFlightLimit: integer(), Retention: long(), ConsumerTimeout: long(),
		DeadLetterExchange: r.String(maxName), DeadLetterKey: r.String(maxName),
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("decoding the settings of a lease set: %w", err)
	}
	return s, s.Check()
}
