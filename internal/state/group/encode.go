package group

import (
	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// The first byte of a command. A new layout gets a new number.
const (
	kindJoin          = 1
	kindSync          = 2
	kindLeave         = 3
	kindExpire        = 4
	kindCommit        = 5
	kindDelete        = 6
	kindDeleteOffsets = 7
	kindForget        = 8
	kindConfigure     = 9
	kindEnlist        = 10
	kindTxnCommit     = 11
	kindResolve       = 12
)

// The bits of a Join's flag byte.
const (
	joinNew = 1 << iota
	joinRequireID
	joinCanSkip
	joinFlags = 1<<iota - 1
)

// Decode reads a command. The command shares no bytes with b. Its error
// wraps codec.ErrMalformed.
func Decode(b []byte) (Command, error) {
	r := newReader(b)
	var c Command
	switch kind := r.Byte(); kind {
	case kindJoin:
		c = decodeJoin(r)
	case kindSync:
		c = decodeSync(r)
	case kindLeave:
		c = decodeLeave(r)
	case kindExpire:
		c = &Expire{Group: r.name(), Member: r.name(), Seen: r.uint64()}
	case kindCommit:
		c = decodeCommit(r)
	case kindDelete:
		c = &Delete{Group: r.name()}
	case kindDeleteOffsets:
		c = decodeDeleteOffsets(r)
	case kindForget:
		c = decodeForget(r)
	case kindConfigure:
		c = &Configure{decodeSettings(r)}
	case kindEnlist:
		c = &Enlist{Group: r.name(), Producer: r.int64(), Epoch: r.epoch(), Number: r.uint64()}
	case kindTxnCommit:
		t := &TxnCommit{Producer: r.int64(), Epoch: r.epoch()}
		t.Commit = *decodeCommit(r)
		c = t
	case kindResolve:
		c = &Resolve{Group: r.name(), Producer: r.int64(), Epoch: r.epoch(), Number: r.uint64(), Commit: r.Bool()}
	default:
		r.Fail("a command of kind %d", kind)
	}
	if err := r.Close(); err != nil {
		return nil, err
	}
	return c, nil
}

// AppendTo implements Command.
func (c *Join) AppendTo(dst []byte) []byte {
	var flags byte
	if c.New {
		flags |= joinNew
	}
	if c.RequireID {
		flags |= joinRequireID
	}
	if c.CanSkip {
		flags |= joinCanSkip
	}
	dst = append(dst, kindJoin, flags)
	dst = codec.AppendBytes(dst, c.Group)
	dst = codec.AppendBytes(dst, c.Member)
	dst = codec.AppendBytes(dst, c.Instance)
	dst = codec.AppendBytes(dst, c.ClientID)
	dst = codec.AppendBytes(dst, c.ClientHost)
	dst = codec.AppendVarint(dst, c.SessionTimeout)
	dst = codec.AppendVarint(dst, c.RebalanceTimeout)
	dst = codec.AppendBytes(dst, c.ProtocolType)
	return appendProtocols(dst, c.Protocols)
}

func decodeJoin(r *reader) *Join {
	flags := r.Byte()
	if flags&^joinFlags != 0 {
		r.Fail("flags %#x of a join", flags)
	}
	return &Join{
		New:              flags&joinNew != 0,
		RequireID:        flags&joinRequireID != 0,
		CanSkip:          flags&joinCanSkip != 0,
		Group:            r.name(),
		Member:           r.name(),
		Instance:         r.name(),
		ClientID:         r.name(),
		ClientHost:       r.name(),
		SessionTimeout:   r.int32(),
		RebalanceTimeout: r.int32(),
		ProtocolType:     r.name(),
		Protocols:        decodeProtocols(r),
	}
}

func appendProtocols(dst []byte, ps []Protocol) []byte {
	dst = codec.AppendUvarint(dst, uint(len(ps)))
	for _, p := range ps {
		dst = codec.AppendBytes(dst, p.Name)
		dst = codec.AppendBytes(dst, p.Metadata)
	}
	return dst
}

func decodeProtocols(r *reader) []Protocol {
	n := r.count(2)
	if n == 0 {
		return nil
	}
	ps := make([]Protocol, n)
	for i := range ps {
		ps[i] = Protocol{Name: r.name(), Metadata: r.blob(MaxMetadata)}
	}
	return ps
}

// AppendTo implements Command.
func (c *Sync) AppendTo(dst []byte) []byte {
	dst = append(dst, kindSync)
	dst = codec.AppendBytes(dst, c.Group)
	dst = codec.AppendBytes(dst, c.Member)
	dst = codec.AppendBytes(dst, c.Instance)
	dst = codec.AppendVarint(dst, c.Generation)
	dst = codec.AppendBytes(dst, c.ProtocolType)
	dst = codec.AppendBytes(dst, c.Protocol)
	dst = codec.AppendUvarint(dst, uint(len(c.Assignments)))
	for _, a := range c.Assignments {
		dst = codec.AppendBytes(dst, a.Member)
		dst = codec.AppendBytes(dst, a.Data)
	}
	return dst
}

func decodeSync(r *reader) *Sync {
	c := &Sync{
		Group: r.name(), Member: r.name(), Instance: r.name(), Generation: r.int32(),
		ProtocolType: r.name(), Protocol: r.name(),
	}
	if n := r.count(2); n > 0 {
		c.Assignments = make([]Assignment, n)
		for i := range c.Assignments {
			c.Assignments[i] = Assignment{Member: r.name(), Data: r.blob(MaxAssignment)}
		}
	}
	return c
}

// AppendTo implements Command.
func (c *Leave) AppendTo(dst []byte) []byte {
	dst = append(dst, kindLeave)
	dst = codec.AppendBytes(dst, c.Group)
	dst = codec.AppendUvarint(dst, uint(len(c.Members)))
	for _, m := range c.Members {
		dst = codec.AppendBytes(dst, m.Member)
		dst = codec.AppendBytes(dst, m.Instance)
	}
	return dst
}

func decodeLeave(r *reader) *Leave {
	c := &Leave{Group: r.name()}
	if n := r.count(2); n > 0 {
		c.Members = make([]Leaver, n)
		for i := range c.Members {
			c.Members[i] = Leaver{Member: r.name(), Instance: r.name()}
		}
	}
	return c
}

// AppendTo implements Command.
func (c *Expire) AppendTo(dst []byte) []byte {
	dst = append(dst, kindExpire)
	dst = codec.AppendBytes(dst, c.Group)
	dst = codec.AppendBytes(dst, c.Member)
	return codec.AppendUvarint(dst, c.Seen)
}

// AppendTo implements Command.
func (c *Commit) AppendTo(dst []byte) []byte {
	return c.appendBody(append(dst, kindCommit))
}

func (c *Commit) appendBody(dst []byte) []byte {
	dst = codec.AppendBytes(dst, c.Group)
	dst = codec.AppendBytes(dst, c.Member)
	dst = codec.AppendBytes(dst, c.Instance)
	dst = codec.AppendVarint(dst, c.Generation)
	dst = codec.AppendVarint(dst, c.Retention)
	dst = codec.AppendUvarint(dst, uint(len(c.Topics)))
	for i := range c.Topics {
		t := &c.Topics[i]
		dst = codec.AppendUvarint(dst, t.Topic)
		dst = codec.AppendBytes(dst, t.Name)
		dst = codec.AppendUvarint(dst, uint(len(t.Partitions)))
		for _, p := range t.Partitions {
			dst = codec.AppendVarint(dst, p.Partition)
			dst = codec.AppendVarint(dst, p.Offset)
			dst = codec.AppendVarint(dst, p.Epoch)
			dst = codec.AppendBytes(dst, p.Metadata)
		}
	}
	return dst
}

func decodeCommit(r *reader) *Commit {
	c := &Commit{Group: r.name(), Member: r.name(), Instance: r.name(), Generation: r.int32(), Retention: r.int64()}
	n := r.count(3)
	if n == 0 {
		return c
	}
	c.Topics = make([]CommitTopic, n)
	for i := range c.Topics {
		t := &c.Topics[i]
		t.Topic, t.Name = r.topic(), r.name()
		if n := r.count(4); n > 0 {
			t.Partitions = make([]CommitPartition, n)
		}
		for j := range t.Partitions {
			t.Partitions[j] = CommitPartition{
				Partition: r.int32(), Offset: record.Offset(r.int64()), Epoch: record.Epoch(r.int32()), Metadata: r.String(MaxOffsetMetadata),
			}
		}
	}
	return c
}

// AppendTo implements Command.
func (c *Delete) AppendTo(dst []byte) []byte {
	return codec.AppendBytes(append(dst, kindDelete), c.Group)
}

// AppendTo implements Command.
func (c *DeleteOffsets) AppendTo(dst []byte) []byte {
	dst = append(dst, kindDeleteOffsets)
	dst = codec.AppendBytes(dst, c.Group)
	dst = codec.AppendUvarint(dst, uint(len(c.Topics)))
	for _, t := range c.Topics {
		dst = codec.AppendUvarint(dst, t.Topic)
		dst = codec.AppendBytes(dst, t.Name)
		dst = codec.AppendUvarint(dst, uint(len(t.Partitions)))
		for _, p := range t.Partitions {
			dst = codec.AppendVarint(dst, p)
		}
	}
	return dst
}

func decodeDeleteOffsets(r *reader) *DeleteOffsets {
	c := &DeleteOffsets{Group: r.name()}
	n := r.count(3)
	if n == 0 {
		return c
	}
	c.Topics = make([]DeleteTopic, n)
	for i := range c.Topics {
		t := &c.Topics[i]
		t.Topic, t.Name = r.topic(), r.name()
		if n := r.count(1); n > 0 {
			t.Partitions = make([]int32, n)
		}
		for j := range t.Partitions {
			t.Partitions[j] = r.int32()
		}
	}
	return c
}

// AppendTo implements Command.
func (c *Forget) AppendTo(dst []byte) []byte {
	dst = append(dst, kindForget)
	dst = codec.AppendUvarint(dst, uint(len(c.Topics)))
	for _, t := range c.Topics {
		dst = codec.AppendUvarint(dst, t)
	}
	return dst
}

func decodeForget(r *reader) *Forget {
	c := &Forget{}
	if n := r.count(1); n > 0 {
		c.Topics = make([]record.TopicID, n)
		for i := range c.Topics {
			c.Topics[i] = r.topic()
		}
	}
	return c
}

// AppendTo implements Command.
func (c *Configure) AppendTo(dst []byte) []byte {
	return appendSettings(append(dst, kindConfigure), c.Settings)
}

func appendSettings(dst []byte, s Settings) []byte {
	dst = codec.AppendVarint(dst, s.InitialDelay)
	dst = codec.AppendVarint(dst, s.MaxSize)
	return codec.AppendVarint(dst, s.Retention)
}

func decodeSettings(r *reader) Settings {
	return Settings{InitialDelay: r.int32(), MaxSize: r.int32(), Retention: r.int64()}
}
