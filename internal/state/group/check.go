package group

// Check judges a command against the limits that do not depend on the state. The
// proposer calls it; what the log holds has passed it. ErrTooLarge,
// ErrInvalidGroup, ErrInvalidSession, ErrInconsistentProtocol (a protocol without
// a name).
func Check(c Command) error {
	switch c := c.(type) {
	case *Join:
		return c.check()
	case *Sync:
		return c.check()
	case *Leave:
		if c.Group == "" {
			return ErrInvalidGroup
		}
		if tooLong(c.Group) || len(c.Members) > MaxLeavers {
			return ErrTooLarge
		}
		for _, m := range c.Members {
			if tooLong(m.Member, m.Instance) {
				return ErrTooLarge
			}
		}
	case *Commit:
		return c.check()
	case *TxnCommit:
		if c.Group == "" {
			return ErrInvalidGroup
		}
		return c.check()
	case *Enlist:
		if c.Group == "" {
			return ErrInvalidGroup
		}
		if tooLong(c.Group) {
			return ErrTooLarge
		}
	case *Delete:
		if tooLong(c.Group) {
			return ErrTooLarge
		}
	case *DeleteOffsets:
		if c.Group == "" {
			return ErrInvalidGroup
		}
		if tooLong(c.Group) {
			return ErrTooLarge
		}
		for _, t := range c.Topics {
			if tooLong(t.Name) {
				return ErrTooLarge
			}
		}
	}
	return nil
}

func tooLong(names ...string) bool {
	for _, n := range names {
		if len(n) > MaxName {
			return true
		}
	}
	return false
}

func (c *Join) check() error {
	switch {
	case c.Group == "":
		return ErrInvalidGroup
	case c.SessionTimeout < MinSessionTimeout || c.SessionTimeout > MaxSessionTimeout:
		return ErrInvalidSession
	case tooLong(c.Group, c.Member, c.Instance, c.ClientID, c.ClientHost, c.ProtocolType):
		return ErrTooLarge
	}
	if len(c.Protocols) > MaxProtocols {
		return ErrTooLarge
	}
	size := 0
	for _, p := range c.Protocols {
		if p.Name == "" {
			return ErrInconsistentProtocol
		}
		if tooLong(p.Name) {
			return ErrTooLarge
		}
		size += len(p.Name) + len(p.Metadata)
	}
	if size > MaxMetadata {
		return ErrTooLarge
	}
	return nil
}

func (c *Sync) check() error {
	switch {
	case c.Group == "":
		return ErrInvalidGroup
	case tooLong(c.Group, c.Member, c.Instance, c.ProtocolType, c.Protocol):
		return ErrTooLarge
	}
	size := 0
	for _, a := range c.Assignments {
		size += len(a.Member) + len(a.Data)
		if tooLong(a.Member) || len(a.Data) > MaxAssignment || size > MaxAssignments {
			return ErrTooLarge
		}
	}
	return nil
}

// An empty group id is an old way of consumers without a group; offsets may be
// committed under it.
func (c *Commit) check() error {
	if tooLong(c.Group, c.Member, c.Instance) {
		return ErrTooLarge
	}
	for _, t := range c.Topics {
		if tooLong(t.Name) {
			return ErrTooLarge
		}
		for _, p := range t.Partitions {
			if len(p.Metadata) > MaxOffsetMetadata {
				return ErrTooLarge
			}
		}
	}
	return nil
}
