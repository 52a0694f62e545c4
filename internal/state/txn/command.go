package txn

import (
	"math"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// Command is one of the commands below.
type Command interface {
	// AppendTo appends the command's encoding, which Decode reads.
	AppendTo(dst []byte) []byte
	id() string
}

// Init begins a new incarnation of a producer (InitProducerId). It is answered
// with the producer id and the epoch to use. A transaction under way is aborted,
// and answered with ErrConcurrent. ErrFenced, ErrConcurrent, ErrTooMany.
type Init struct {
	ID string
	// Timeout is the longest that a transaction may take, in ms.
	Timeout int32
	// Producer and Epoch are those that the client believes to have, -1 if it
	// is a new one (KIP-360).
	Producer int64
	Epoch    int16
	// Spare is a producer id that was never used, for a new transactional id
	// and for one whose epochs are used up; -1 for none, which answers
	// ErrConcurrent if it was needed.
	Spare int64
}

// Add makes partitions and groups part of the transaction, which it begins if
// need be. ErrUnknownProducer, ErrFenced, ErrConcurrent, ErrTooMany.
type Add struct {
	ID       string
	Producer int64
	Epoch    int16
	// Bumps says that the client takes a new epoch with every transaction
	// (KIP-890, version 2).
	Bumps      bool
	Partitions []Partition
	Groups     []string
}

// Partition is a partition that a transaction writes to.
type Partition struct {
	Topic  record.TopicID
	Name   string // of the topic, for people
	Number int32
	ID     record.PartitionID
}

// End decides a transaction (EndTxn). The reply has the producer id and epoch to
// go on with. ErrUnknownProducer, ErrFenced, ErrInvalidState.
type End struct {
	ID       string
	Producer int64
	Epoch    int16
	Commit   bool
	// Bumps says that the client takes a new epoch from the reply (EndTxn v5).
	Bumps bool
	Spare int64 // as in Init
}

// Complete says that every partition and group has applied the decision on the
// transaction of this number.
type Complete struct {
	ID     string
	Number uint64
}

func (c *Init) id() string     { return c.ID }
func (c *Add) id() string      { return c.ID }
func (c *End) id() string      { return c.ID }
func (c *Complete) id() string { return c.ID }

// Check judges a command against the limits that do not depend on the state. The
// proposer calls it; what the log holds has passed it. ErrInvalid, ErrInvalidTimeout,
// ErrTooMany.
func Check(c Command) error {
	if id := c.id(); id == "" || len(id) > MaxName {
		return ErrInvalid
	}
	switch c := c.(type) {
	case *Init:
		if !sane(c.Producer, c.Epoch) || !sane(c.Spare, 0) {
			return ErrInvalid
		}
		if c.Timeout <= 0 || c.Timeout > MaxTimeout {
			return ErrInvalidTimeout
		}
	case *End:
		if !sane(c.Producer, c.Epoch) || !sane(c.Spare, 0) {
			return ErrInvalid
		}
	case *Add:
		if !sane(c.Producer, c.Epoch) {
			return ErrInvalid
		}
		if len(c.Partitions) > MaxTargets || len(c.Groups) > MaxTargets {
			return ErrTooMany
		}
		for _, g := range c.Groups {
			if len(g) > MaxName {
				return ErrInvalid
			}
		}
		for i := range c.Partitions {
			if len(c.Partitions[i].Name) > MaxName {
				return ErrInvalid
			}
		}
	}
	return nil
}

// sane reports whether a producer could be: a client may send any number.
func sane(producer int64, epoch int16) bool { return producer >= -1 && epoch >= -1 }

// The first byte of a command. A new layout gets a new number.
const (
	kindInit     = 1
	kindAdd      = 2
	kindEnd      = 3
	kindComplete = 4
)

// AppendTo implements Command.
func (c *Init) AppendTo(dst []byte) []byte {
	dst = codec.AppendBytes(append(dst, kindInit), c.ID)
	dst = codec.AppendVarint(dst, c.Timeout)
	dst = codec.AppendVarint(dst, c.Producer)
	dst = codec.AppendVarint(dst, c.Epoch)
	return codec.AppendVarint(dst, c.Spare)
}

// AppendTo implements Command.
func (c *Add) AppendTo(dst []byte) []byte {
	dst = codec.AppendBytes(append(dst, kindAdd), c.ID)
	dst = codec.AppendVarint(dst, c.Producer)
	dst = codec.AppendVarint(dst, c.Epoch)
	dst = codec.AppendBool(dst, c.Bumps)
	return appendTargets(dst, c.Partitions, c.Groups)
}

func appendTargets(dst []byte, parts []Partition, groups []string) []byte {
	dst = codec.AppendUvarint(dst, uint(len(parts)))
	for i := range parts {
		p := &parts[i]
		dst = codec.AppendUvarint(dst, p.Topic)
		dst = codec.AppendBytes(dst, p.Name)
		dst = codec.AppendVarint(dst, p.Number)
		dst = codec.AppendUvarint(dst, p.ID)
	}
	dst = codec.AppendUvarint(dst, uint(len(groups)))
	for _, g := range groups {
		dst = codec.AppendBytes(dst, g)
	}
	return dst
}

// AppendTo implements Command.
func (c *End) AppendTo(dst []byte) []byte {
	dst = codec.AppendBytes(append(dst, kindEnd), c.ID)
	dst = codec.AppendVarint(dst, c.Producer)
	dst = codec.AppendVarint(dst, c.Epoch)
	dst = codec.AppendBool(dst, c.Commit)
	dst = codec.AppendBool(dst, c.Bumps)
	return codec.AppendVarint(dst, c.Spare)
}

// AppendTo implements Command.
func (c *Complete) AppendTo(dst []byte) []byte {
	return codec.AppendUvarint(codec.AppendBytes(append(dst, kindComplete), c.ID), c.Number)
}

// Decode reads a command. The command shares no bytes with b. Its error wraps
// codec.ErrMalformed.
func Decode(b []byte) (Command, error) {
	r := &reader{codec.NewReader(b)}
	var c Command
	switch kind := r.Byte(); kind {
	case kindInit:
		c = &Init{
			ID: r.String(MaxName), Timeout: r.int32(), Producer: r.producer(), Epoch: r.epoch(), Spare: r.producer(),
		}
	case kindAdd:
		a := &Add{ID: r.String(MaxName), Producer: r.producer(), Epoch: r.epoch(), Bumps: r.Bool()}
		a.Partitions, a.Groups = r.targets()
		c = a
	case kindEnd:
		c = &End{
			ID: r.String(MaxName), Producer: r.producer(), Epoch: r.epoch(), Commit: r.Bool(), Bumps: r.Bool(),
			Spare: r.producer(),
		}
	case kindComplete:
		c = &Complete{ID: r.String(MaxName), Number: r.Uvarint(math.MaxUint64)}
	default:
		r.Fail("a command of kind %d", kind)
	}
	if err := r.Close(); err != nil {
		return nil, err
	}
	return c, nil
}

// reader reads the encodings of commands and pages.
type reader struct{ codec.Reader }

func (r *reader) int32() int32    { return int32(r.Varint(math.MinInt32, math.MaxInt32)) }
func (r *reader) producer() int64 { return r.Varint(-1, math.MaxInt64) }
func (r *reader) epoch() int16    { return int16(r.Varint(-1, math.MaxInt16)) }

func (r *reader) time() record.LogTime {
	return record.LogTime(r.Varint(math.MinInt64, math.MaxInt64))
}

func (r *reader) targets() (parts []Partition, groups []string) {
	if n := r.Count(MaxTargets, 4); n > 0 {
		parts = make([]Partition, n)
	}
	for i := range parts {
		parts[i] = Partition{
			Topic: record.TopicID(r.Uvarint(math.MaxUint64)), Name: r.String(MaxName), Number: r.int32(),
			ID: record.PartitionID(r.Uvarint(math.MaxUint64)),
		}
	}
	if n := r.Count(MaxTargets, 1); n > 0 {
		groups = make([]string, n)
	}
	for i := range groups {
		groups[i] = r.String(MaxName)
	}
	return parts, groups
}
