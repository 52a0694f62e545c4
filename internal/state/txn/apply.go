package txn

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
)

// Apply carries out a command. A refused one changes nothing.
func (s *State) Apply(now record.LogTime, c Command, fx *Effects) Reply {
	switch c := c.(type) {
	case *Init:
		return s.init(now, c, fx)
	case *Add:
		return s.add(now, c)
	case *End:
		return s.end(now, c, fx)
	case *Complete:
		s.complete(now, c, fx)
		return Reply{}
	}
	panic(fmt.Sprintf("txn: a command of type %T", c))
}

func refuse(err error) Reply { return Reply{Err: err, Producer: -1, Epoch: -1} }

// init begins an incarnation: Kafka's initProducerId and prepareInitProducerId.
func (s *State) init(now record.LogTime, c *Init, fx *Effects) Reply {
	t := s.ids[c.ID]
	switch {
	case t == nil && c.Spare < 0:
		return refuse(ErrConcurrent)
	case t == nil && len(s.ids) >= MaxIDs:
		return refuse(ErrTooMany)
	case t == nil:
		t = &txn{
			id: c.ID, producer: c.Spare, epoch: -1, lastEpoch: -1, previous: -1, next: -1,
		}
		s.touch(t)
		s.ids[c.ID] = t
		return s.incarnate(now, t, c)
	case c.Producer >= 0 && c.Producer != t.producer && (c.Producer != t.previous || !exhausted(c.Epoch)):
		return refuse(ErrFenced)
	case t.phase.deciding():
		return refuse(ErrConcurrent)
	case t.phase == Ongoing:
		if c.Producer >= 0 && c.Epoch != t.epoch {
			return refuse(ErrFenced)
		}
		s.fence(now, t, fx)
		if c.Producer >= 0 { // it comes again with the epoch that it has
			t.lastEpoch = c.Epoch
		}
		return refuse(ErrConcurrent)
	}
	return s.incarnate(now, t, c)
}

// incarnate gives a producer without a transaction its next epoch, or a new id
// when the epochs are used up.
func (s *State) incarnate(now record.LogTime, t *txn, c *Init) Reply {
	known := c.Producer >= 0
	switch {
	case exhausted(t.epoch) && (!known || c.Epoch == t.epoch || c.Epoch == t.lastEpoch):
		if c.Spare < 0 {
			return refuse(ErrConcurrent)
		}
		s.touch(t)
		t.previous, t.producer, t.epoch = t.producer, c.Spare, 0
		t.lastEpoch = -1
		if known {
			t.lastEpoch = c.Epoch
		}
	case !known:
		s.touch(t)
		t.epoch, t.lastEpoch = t.epoch+1, -1
	case t.epoch < 0 || c.Epoch == t.epoch:
		s.touch(t)
		t.epoch, t.lastEpoch = t.epoch+1, t.epoch
	case c.Epoch == t.lastEpoch: // it has not heard of the epoch that it got
		s.touch(t)
	default:
		return refuse(ErrFenced)
	}
	t.phase, t.timeout, t.bumps = Empty, c.Timeout, false
	t.updated = now
	s.schedule(t)
	return Reply{Producer: t.producer, Epoch: t.epoch}
}

// fence aborts a transaction under way under a new epoch, which shuts out its
// producer.
func (s *State) fence(now record.LogTime, t *txn, fx *Effects) {
	s.touch(t)
	t.epoch++
	t.lastEpoch = -1
	s.decide(now, t, PrepareAbort, fx)
}

// decide settles the fate of a transaction. Without partitions and groups it is
// complete at once.
func (s *State) decide(now record.LogTime, t *txn, p Phase, fx *Effects) {
	t.phase, t.updated = p, now
	if len(t.partitions)+len(t.groups) == 0 {
		s.finish(now, t, fx)
		return
	}
	s.schedule(t)
	fx.Decided = append(fx.Decided, t.id)
}

// finish ends a transaction whose decision is applied.
func (s *State) finish(now record.LogTime, t *txn, fx *Effects) {
	if t.phase == PrepareCommit {
		t.phase = CompleteCommit
	} else {
		t.phase = CompleteAbort
	}
	if t.next >= 0 {
		t.previous, t.producer, t.next = t.producer, t.next, -1
		t.lastEpoch, t.epoch = t.epoch-1, 0
	}
	t.partitions, t.groups = nil, nil
	t.updated = now
	s.schedule(t)
	fx.Completed = append(fx.Completed, t.id)
}

func (s *State) complete(now record.LogTime, c *Complete, fx *Effects) {
	t := s.ids[c.ID]
	if t == nil || t.number != c.Number || !t.phase.deciding() {
		return
	}
	s.touch(t)
	s.finish(now, t, fx)
}

func (s *State) add(now record.LogTime, c *Add) Reply {
	t := s.ids[c.ID]
	switch {
	case t == nil || t.producer != c.Producer:
		return refuse(ErrUnknownProducer)
	case t.epoch != c.Epoch || c.Epoch > lastEpoch:
		return refuse(ErrFenced)
	case t.phase.deciding():
		return refuse(ErrConcurrent)
	case len(t.partitions)+len(c.Partitions) > MaxTargets || len(t.groups)+len(c.Groups) > MaxTargets:
		return refuse(ErrTooMany)
	}
	s.touch(t)
	if t.phase != Ongoing {
		t.phase, t.started, t.updated = Ongoing, now, now
		t.bumps = c.Bumps
		t.number++
		s.schedule(t)
	}
	t.bumps = t.bumps || c.Bumps
	for _, p := range c.Partitions {
		if i, ok := slices.BinarySearchFunc(t.partitions, p, byPartition); !ok {
			t.partitions = slices.Insert(t.partitions, i, p)
		}
	}
	for _, g := range c.Groups {
		if i, ok := slices.BinarySearch(t.groups, g); !ok {
			t.groups = slices.Insert(t.groups, i, g)
		}
	}
	return Reply{Producer: t.producer, Epoch: t.epoch, Number: t.number}
}

func byPartition(a, b Partition) int { return cmp.Compare(a.ID, b.ID) }

// end decides a transaction at its client's wish: Kafka's endTransaction.
func (s *State) end(now record.LogTime, c *End, fx *Effects) Reply {
	t := s.ids[c.ID]
	if t == nil {
		return refuse(ErrUnknownProducer)
	}
	repeated := t.repeats(c)
	switch {
	case c.Producer != t.producer && !repeated:
		return refuse(ErrUnknownProducer)
	case (c.Epoch != t.epoch || c.Epoch > lastEpoch) && !repeated:
		return refuse(ErrFenced)
	}
	wanted, done := PrepareAbort, CompleteAbort
	if c.Commit {
		wanted, done = PrepareCommit, CompleteCommit
	}
	switch t.phase {
	case Ongoing:
		return s.endOngoing(now, t, c, wanted, fx)
	case wanted:
		return t.granted(true)
	case done:
		if repeated || !c.Bumps {
			return t.granted(false)
		}
	}
	if c.Bumps && !c.Commit && !repeated && !t.phase.deciding() {
		// A client that has sent batches cannot know whether any began the
		// transaction: to abort nothing is to shut out what may still come.
		s.touch(t)
		if r := s.bump(t, c); r != nil {
			return refuse(r)
		}
		t.bumps = true
		t.number++
		s.decide(now, t, PrepareAbort, fx)
		return t.granted(false)
	}
	return refuse(ErrInvalidState)
}

func (s *State) endOngoing(now record.LogTime, t *txn, c *End, wanted Phase, fx *Effects) Reply {
	s.touch(t)
	if c.Bumps {
		if err := s.bump(t, c); err != nil {
			return refuse(err)
		}
	}
	t.bumps = c.Bumps
	s.decide(now, t, wanted, fx)
	return t.granted(t.phase == wanted)
}

// bump takes the next epoch. When that is the last one, a new producer id takes
// over as soon as the decision is applied.
func (s *State) bump(t *txn, c *End) error {
	if exhausted(t.epoch) {
		if c.Spare < 0 {
			return ErrConcurrent
		}
		t.next = c.Spare
	}
	t.lastEpoch, t.epoch = t.epoch, t.epoch+1
	return nil
}

// granted answers an End with what the client has from now on.
func (t *txn) granted(waiting bool) Reply {
	r := Reply{Producer: t.producer, Epoch: t.epoch, Waiting: waiting}
	if t.next >= 0 {
		r.Producer, r.Epoch = t.next, 0
	}
	return r
}

// repeats reports whether an End is the one that was answered by the present
// epoch, sent again by a client that has not got the answer.
func (t *txn) repeats(c *End) bool {
	if !c.Bumps || !t.bumps || t.phase == Ongoing || t.lastEpoch < 0 || c.Epoch != t.lastEpoch {
		return false
	}
	return c.Producer == t.producer || c.Producer == t.previous
}
