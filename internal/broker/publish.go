package broker

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/lease"
	"github.com/polylog-mq/polylog/internal/store"
)

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

// logged returns the facts as they stand in the log.
func (f *Facts) logged() facts {
	l := facts{ttl: -1, delay: f.Delay, bytes: f.Bytes}
	if f.Expires {
		l.ttl = f.TTL
	}
	return l
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

// publishing is the part of a Publish that the broker works on.
type publishing struct {
	left    atomic.Int32
	quiet   bool
	mu      sync.Mutex // guards Err while several shards answer
	logged  facts
	one     appendProposal // of the first shard; more has the others
	more    []*appendProposal
	targets []target // of one
}

// published is the part of an appendProposal that only publishes have.
type published struct {
	targets []target
	// flying are the desks that count its records as theirs while it is under
	// way, and records how many there are.
	flying  []*desk
	records int64
	// refused says that a target did not take the batch, refusers are those that
	// dead-letter what they refuse.
	refused  bool
	refusers []*desk
}

// Publish appends a batch to queues. It never blocks. What one goroutine
// publishes keeps its order in every queue. The bytes are stored once per shard.
func (b *Broker) Publish(p *Publish) { b.publish(p, false) }

// PublishQuietly is Publish for a caller that calls Help when it has published all it
// has at hand: until then nobody is told.
func (b *Broker) PublishQuietly(p *Publish) { b.publish(p, true) }

func (b *Broker) publish(p *Publish, quiet bool) {
	p.Err, p.quiet = nil, quiet
	p.logged = p.Facts.logged()
	p.more = p.more[:0]
	p.left.Store(1) // for this function
	var first *Partition
	several := false
	p.targets = p.targets[:0]
	for _, q := range p.Targets {
		switch {
		case p.Facts.Delay > 0 && q.settings.Load() == nil:
			p.fail(ErrNotQueue) // a log without a lease set cannot hold a record back
		case first == nil || q.part.shard == first.shard:
			if first == nil {
				first = q.part
			}
			p.targets = append(p.targets, q.target(p.Facts.Level))
		default:
			several = true
		}
	}
	if first != nil {
		p.to(&p.one, first, p.targets)
	}
	if several {
		p.others(first.shard)
	}
	p.answered(nil)
}

// others publishes to the targets that are not in the first shard.
func (p *Publish) others(first *shard) {
	byShard := map[record.ShardID][]target{}
	parts := map[record.ShardID]*Partition{}
	for _, q := range p.Targets {
		if s := q.part.shard; s != first && (p.Facts.Delay == 0 || q.settings.Load() != nil) {
			byShard[s.id] = append(byShard[s.id], q.target(p.Facts.Level))
			parts[s.id] = q.part
		}
	}
	for _, id := range sortedKeys(byShard) {
		a := &appendProposal{}
		p.more = append(p.more, a)
		p.to(a, parts[id], byShard[id])
	}
}

// target returns the queue as the target of an append at a level.
func (q *Queue) target(level uint8) target {
	if s := q.settings.Load(); s != nil {
		return target{q.part.id, min(level, s.MaxPriority)}
	}
	return target{q.part.id, 0}
}

// to hands the batch to the shard of a partition.
func (p *Publish) to(a *appendProposal, part *Partition, targets []target) {
	p.left.Add(1)
	s := part.shard
	*a = appendProposal{publish: p, partition: part, batch: p.Batch, published: published{targets: targets}}
	if err := s.admitPublish(a); err != nil {
		p.answered(err)
		return
	}
	if p.quiet {
		s.group.ProposeQuietly(a)
		return
	}
	s.group.Propose(a)
}

// admitPublish checks what can be checked before the log, and charges the budget.
func (s *shard) admitPublish(a *appendProposal) error {
	if !s.leads.Load() {
		return ErrNotLeader
	}
	if h := s.b.health.get(); h.State >= store.DiskFull {
		return refusalBy(h)
	}
	if _, err := record.ParseHeader(a.batch); err != nil {
		return err
	}
	return s.b.admit(a.Size())
}

// fail takes down what went wrong; the first error stays.
func (p *Publish) fail(err error) {
	if err == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Err == nil {
		p.Err = err
	}
}

// answered counts the answer of a shard.
func (p *Publish) answered(err error) {
	p.fail(err)
	if p.left.Add(-1) == 0 {
		p.Done(p)
	}
}

// accept decides, while the entry is encoded, which targets take the batch: a
// queue that is full and rejects does not. It is called again for the same
// proposal if Raft dropped the entry.
func (p *appendProposal) accept(s *shard) []target {
	p.landed()
	p.refused, p.refusers = false, p.refusers[:0]
	kept := p.targets
	for i := 0; i < len(kept); i++ {
		part := s.parts[kept[i].partition]
		if part == nil || part.desk == nil || !part.desk.rejects() {
			continue
		}
		if p.records == 0 {
			h, _ := record.ParseHeader(p.batch) // it was looked at before
			p.records = int64(h.LastOffsetDelta) + 1
		}
		if part.desk.full() {
			p.refused = true
			if part.lease.Settings().Overflow == lease.RejectPublishDeadLetter {
				p.refusers = append(p.refusers, part.desk)
			}
			if len(kept) == len(p.targets) {
				kept = slices.Clone(kept)
			}
			kept = slices.Delete(kept, i, i+1)
			i--
			continue
		}
		part.desk.flying += p.records
		part.desk.flyingBytes += p.publish.logged.bytes
		p.flying = append(p.flying, part.desk)
	}
	return kept
}

// landed ends what accept has counted.
func (p *appendProposal) landed() {
	for _, d := range p.flying {
		d.flying -= p.records
		d.flyingBytes -= p.publish.logged.bytes
	}
	p.flying = p.flying[:0]
}

// encodePublish appends the command of a publish that stands alone.
func (p *appendProposal) encodePublish(dst []byte, s *shard) []byte {
	start := len(dst)
	dst = beginCommand(dst, kindAppend)
	if kept := p.accept(s); len(kept) > 0 {
		dst = appendPublish(dst, kept, &p.publish.logged)
		dst = append(dst, p.batch...)
	} else {
		dst = append(dst, appendRefused, 0, 0)
	}
	endCommand(dst, start)
	return dst
}

// toQueue tells the lease set of a partition what was appended to it.
func (a *appending) toQueue(h *record.Header, n int, base record.Offset) {
	q := a.s.queues
	b := lease.Batch{
		Range: lease.Range{First: base, Last: base + record.Offset(h.LastOffsetDelta)},
		TTL:   a.facts.ttl, Bytes: a.facts.bytes, Delay: a.facts.delay,
	}
	if b.Bytes < 0 {
		b.Bytes = int64(n)
	}
	if a.told && a.facts.bytes >= 0 {
		b.Bytes = 0
	}
	a.told = true
	q.state.Append(a.part.lease, b)
	for o := b.First; b.Delay > 0 && o <= b.Last; o++ {
		q.later(a.e, a.part.id, o, a.target.level, a.facts.delay)
	}
	q.appended(a.part, a.target.level, b.Last, int64(h.Count))
}
