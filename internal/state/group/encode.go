package group

import "github.com/polylog-mq/polylog/internal/record"

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
	kindResume        = 9
	kindConfigure     = 10
)

// The bits of a Join's flag byte.
const (
	joinNew = 1 << iota
	joinRequireID
	joinCanSkip
	joinFlags = 1<<iota - 1
)

// Decode reads a command. The command shares no bytes with b. Its error is an
// ErrMalformed.
func Decode(b []byte) (Command, error) {
	r := &reader{b: b}
	var c Command
	switch r.byte() {
	case kindJoin:
		c = decodeJoin(r)
	case kindSync:
		c = decodeSync(r)
	case kindLeave:
		c = decodeLeave(r)
	case kindExpire:
		c = &Expire{Group: r.string(), Member: r.string(), Seen: r.uint()}
	case kindCommit:
		c = decodeCommit(r)
	case kindDelete:
		c = &Delete{Group: r.string()}
	case kindDeleteOffsets:
		c = decodeDeleteOffsets(r)
	case kindForget:
		c = decodeForget(r)
	case kindResume:
		c = &Resume{}
	case kindConfigure:
		c = &Configure{decodeSettings(r)}
	default:
		return nil, ErrMalformed
	}
	if err := r.end(); err != nil {
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
	dst = appendString(dst, c.Group)
	dst = appendString(dst, c.Member)
	dst = appendString(dst, c.Instance)
	dst = appendString(dst, c.ClientID)
	dst = appendString(dst, c.ClientHost)
	dst = appendInt(dst, int64(c.SessionTimeout))
	dst = appendInt(dst, int64(c.RebalanceTimeout))
	dst = appendString(dst, c.ProtocolType)
	return appendProtocols(dst, c.Protocols)
}

func decodeJoin(r *reader) *Join {
	flags := r.byte()
	if flags&^joinFlags != 0 {
		r.fail()
	}
	return &Join{
		New:              flags&joinNew != 0,
		RequireID:        flags&joinRequireID != 0,
		CanSkip:          flags&joinCanSkip != 0,
		Group:            r.string(),
		Member:           r.string(),
		Instance:         r.string(),
		ClientID:         r.string(),
		ClientHost:       r.string(),
		SessionTimeout:   r.int32(),
		RebalanceTimeout: r.int32(),
		ProtocolType:     r.string(),
		Protocols:        decodeProtocols(r),
	}
}

func appendProtocols(dst []byte, ps []Protocol) []byte {
	dst = appendUint(dst, uint64(len(ps)))
	for _, p := range ps {
		dst = appendString(dst, p.Name)
		dst = appendString(dst, p.Metadata)
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
		ps[i] = Protocol{Name: r.string(), Metadata: r.bytes()}
	}
	return ps
}

// AppendTo implements Command.
func (c *Sync) AppendTo(dst []byte) []byte {
	dst = append(dst, kindSync)
	dst = appendString(dst, c.Group)
	dst = appendString(dst, c.Member)
	dst = appendString(dst, c.Instance)
	dst = appendInt(dst, int64(c.Generation))
	dst = appendString(dst, c.ProtocolType)
	dst = appendString(dst, c.Protocol)
	dst = appendUint(dst, uint64(len(c.Assignments)))
	for _, a := range c.Assignments {
		dst = appendString(dst, a.Member)
		dst = appendString(dst, a.Data)
	}
	return dst
}

func decodeSync(r *reader) *Sync {
	c := &Sync{
		Group: r.string(), Member: r.string(), Instance: r.string(), Generation: r.int32(),
		ProtocolType: r.string(), Protocol: r.string(),
	}
	if n := r.count(2); n > 0 {
		c.Assignments = make([]Assignment, n)
		for i := range c.Assignments {
			c.Assignments[i] = Assignment{Member: r.string(), Data: r.bytes()}
		}
	}
	return c
}

// AppendTo implements Command.
func (c *Leave) AppendTo(dst []byte) []byte {
	dst = append(dst, kindLeave)
	dst = appendString(dst, c.Group)
	dst = appendUint(dst, uint64(len(c.Members)))
	for _, m := range c.Members {
		dst = appendString(dst, m.Member)
		dst = appendString(dst, m.Instance)
	}
	return dst
}

func decodeLeave(r *reader) *Leave {
	c := &Leave{Group: r.string()}
	if n := r.count(2); n > 0 {
		c.Members = make([]Leaver, n)
		for i := range c.Members {
			c.Members[i] = Leaver{Member: r.string(), Instance: r.string()}
		}
	}
	return c
}

// AppendTo implements Command.
func (c *Expire) AppendTo(dst []byte) []byte {
	dst = append(dst, kindExpire)
	dst = appendString(dst, c.Group)
	dst = appendString(dst, c.Member)
	return appendUint(dst, c.Seen)
}

// AppendTo implements Command.
func (c *Commit) AppendTo(dst []byte) []byte {
	dst = append(dst, kindCommit)
	dst = appendString(dst, c.Group)
	dst = appendString(dst, c.Member)
	dst = appendString(dst, c.Instance)
	dst = appendInt(dst, int64(c.Generation))
	dst = appendInt(dst, c.Retention)
	dst = appendUint(dst, uint64(len(c.Topics)))
	for i := range c.Topics {
		t := &c.Topics[i]
		dst = appendUint(dst, uint64(t.Topic))
		dst = appendString(dst, t.Name)
		dst = appendUint(dst, uint64(len(t.Partitions)))
		for _, p := range t.Partitions {
			dst = appendInt(dst, int64(p.Partition))
			dst = appendInt(dst, int64(p.Offset))
			dst = appendInt(dst, int64(p.Epoch))
			dst = appendString(dst, p.Metadata)
		}
	}
	return dst
}

func decodeCommit(r *reader) *Commit {
	c := &Commit{Group: r.string(), Member: r.string(), Instance: r.string(), Generation: r.int32(), Retention: r.int()}
	n := r.count(3)
	if n == 0 {
		return c
	}
	c.Topics = make([]CommitTopic, n)
	for i := range c.Topics {
		t := &c.Topics[i]
		t.Topic, t.Name = r.topic(), r.string()
		if n := r.count(4); n > 0 {
			t.Partitions = make([]CommitPartition, n)
		}
		for j := range t.Partitions {
			t.Partitions[j] = CommitPartition{
				Partition: r.int32(), Offset: record.Offset(r.int()), Epoch: record.Epoch(r.int32()), Metadata: r.string(),
			}
		}
	}
	return c
}

// AppendTo implements Command.
func (c *Delete) AppendTo(dst []byte) []byte {
	return appendString(append(dst, kindDelete), c.Group)
}

// AppendTo implements Command.
func (c *DeleteOffsets) AppendTo(dst []byte) []byte {
	dst = append(dst, kindDeleteOffsets)
	dst = appendString(dst, c.Group)
	dst = appendUint(dst, uint64(len(c.Topics)))
	for _, t := range c.Topics {
		dst = appendUint(dst, uint64(t.Topic))
		dst = appendString(dst, t.Name)
		dst = appendUint(dst, uint64(len(t.Partitions)))
		for _, p := range t.Partitions {
			dst = appendInt(dst, int64(p))
		}
	}
	return dst
}

func decodeDeleteOffsets(r *reader) *DeleteOffsets {
	c := &DeleteOffsets{Group: r.string()}
	n := r.count(3)
	if n == 0 {
		return c
	}
	c.Topics = make([]DeleteTopic, n)
	for i := range c.Topics {
		t := &c.Topics[i]
		t.Topic, t.Name = r.topic(), r.string()
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
	dst = appendUint(dst, uint64(len(c.Topics)))
	for _, t := range c.Topics {
		dst = appendUint(dst, uint64(t))
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
func (c *Resume) AppendTo(dst []byte) []byte { return append(dst, kindResume) }

// AppendTo implements Command.
func (c *Configure) AppendTo(dst []byte) []byte {
	return appendSettings(append(dst, kindConfigure), c.Settings)
}

func appendSettings(dst []byte, s Settings) []byte {
	dst = appendInt(dst, int64(s.InitialDelay))
	dst = appendInt(dst, int64(s.MaxSize))
	return appendInt(dst, s.Retention)
}

func decodeSettings(r *reader) Settings {
	return Settings{InitialDelay: r.int32(), MaxSize: r.int32(), Retention: r.int()}
}
