package broker

import (
	"errors"
	"fmt"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/topic"
	"github.com/polylog-mq/polylog/internal/store"
)

// Append is one batch on its way into a partition. The caller fills Batch and
// Done, and may pool and reuse the whole after Done. The other exported fields
// are the results.
type Append struct {
	// Batch is one record batch, checked with record.Validate by the caller. It
	// belongs to the broker until Done; the broker never writes it.
	Batch []byte
	// Lent spares the broker a copy of a large batch: it goes into the log from where
	// it lies, by the checksum that it bears. Its memory must then not be changed
	// after an ErrUnknownFate either: it may yet be written.
	Lent bool
	// Done is called once, on the shard's loop (or in Partition.Append if the
	// batch is refused at once), after the results were filled in. It must not
	// block. Keep it in the pooled object: setting it anew costs an allocation.
	Done func(*Append)

	// Base is the offset of the first record, -1 on error. For a duplicate it
	// is the offset it got the first time.
	Base record.Offset
	// LogAppendTime is the time in ms that was stamped on the batch, -1 if the
	// topic keeps the producer's timestamps.
	LogAppendTime int64
	// Floor is the partition's first kept offset at that moment, -1 on error.
	Floor record.Offset
	// Err is nil when the batch, or its first copy, is committed.
	Err error

	proposal appendProposal
}

// Append hands a batch to the partition's shard. It never blocks. Batches
// appended one after the other by one goroutine keep their order. Errors:
// ErrNotLeader, ErrUnknownFate, ErrBusy, ErrDiskFull, ErrStorage, ErrClosed,
// ErrUnknownPartition, ErrTooLarge, ErrListTooLarge, ErrInvalidTimestamp,
// ErrInvalidRecord, ErrOutOfOrderSequence, ErrProducerEpoch.
func (p *Partition) Append(a *Append) {
	if p.prepare(a) {
		p.shard.group.Propose(&a.proposal)
	}
}

// AppendQuietly is Append for a caller that calls Broker.Help when it has appended
// all it has at hand: until then nobody is told.
func (p *Partition) AppendQuietly(a *Append) {
	if p.prepare(a) {
		p.shard.group.ProposeQuietly(&a.proposal)
	}
}

// Help sees to what was appended quietly. It may write the log itself, and call Done
// of any append before it returns: the caller must hold no lock that those may want.
// It reports whether it did. See replica.Host.Help.
func (b *Broker) Help() (helped bool) { return b.opts.Host.Help() }

// prepare makes the proposal of an append, or answers it with why not.
func (p *Partition) prepare(a *Append) bool {
	a.proposal = appendProposal{owner: a, partition: p, batch: a.Batch}
	a.Base, a.LogAppendTime, a.Floor, a.Err = -1, -1, -1, nil
	if err := p.admit(a); err != nil {
		a.Err = err
		a.Done(a)
		return false
	}
	return true
}

// admit checks what can be checked before the log, and charges the budget.
func (p *Partition) admit(a *Append) error {
	settings := p.settings.Load()
	switch {
	case !p.shard.leads.Load(): // who does not lead need not know every partition yet
		return ErrNotLeader
	case settings == nil:
		return ErrUnknownPartition
	}
	h, err := record.ParseHeader(a.Batch)
	if err != nil {
		return err
	}
	now := record.LogTime(p.shard.b.opts.Clock.Now().UnixMilli())
	if err := settings.Check(now, len(a.Batch), h.BaseTimestamp, h.MaxTimestamp); err != nil {
		return err
	}
	if settings.Compact {
		if err := requireKeys(a.Batch); err != nil {
			return err
		}
	}
	if c := settings.Codec; settings.Recompress && c != h.Codec() {
		if a.proposal.batch, err = record.Recompress(nil, a.Batch, c, settings.CompressionLevel); err != nil {
			return err
		}
		// It may have grown.
		if err := settings.CheckSize(len(a.proposal.batch)); err != nil {
			return err
		}
	}
	if h := p.shard.b.health.get(); h.State >= store.DiskFull {
		return refusalBy(h)
	}
	a.proposal.spliced = a.Lent && !settings.LogAppendTime && len(a.proposal.batch) >= leastSplice
	return p.shard.b.admit(a.proposal.Size())
}

// requireKeys refuses a batch with a record that has no key: compaction could
// not tell what it replaces.
func requireKeys(batch []byte) error {
	n := 0
	return record.Records(batch, func(r record.Record) error {
		if r.Key == nil {
			return fmt.Errorf("%w: record %d has no key, and the topic is compacted", ErrInvalidRecord, n)
		}
		n++
		return nil
	})
}

// appendProposal is the part of an Append that the shard works on.
type appendProposal struct {
	owner     *Append // nil if publish is set
	publish   *Publish
	partition *Partition // the first target
	// batch is what goes into the log: Append.Batch, or a copy under the codec
	// that the topic stores.
	batch   []byte
	spliced bool            // batch goes into the log from where it lies
	next    *appendProposal // of the same partition in the same entry
	at      int             // its place among the proposals of its entry

	published
}

// Size implements replica.Proposal.
func (p *appendProposal) Size() int { return len(p.batch) + proposalOverhead }

// Bulk implements replica.Bulk: what apply keeps of a batch is in its header.
func (p *appendProposal) Bulk() (spliced int) {
	if !p.spliced {
		return 0
	}
	sealed, _ := record.Sealed(p.batch)
	return len(sealed)
}

// Done implements replica.Proposal.
func (p *appendProposal) Done(err error) {
	b := p.partition.shard.b
	b.release(p.Size())
	if err != nil {
		err = b.explain(err)
	}
	if p.publish != nil {
		p.landed()
		if err == nil && p.refused {
			err = ErrRejected
			for _, d := range p.refusers {
				d.refuse(p.batch)
			}
		}
		p.batch, p.next = nil, nil
		p.publish.answered(err)
		return
	}
	a := p.owner
	if err != nil {
		a.Base, a.LogAppendTime, a.Floor, a.Err = -1, -1, -1, err
	}
	p.batch, p.next = nil, nil
	a.Done(a)
}

// answer fills in what apply made of the batch.
func (p *appendProposal) answer(base record.Offset, stamped int64, s *topic.Partition) {
	if a := p.owner; a != nil {
		a.Base, a.LogAppendTime, a.Floor = base, stamped, s.LogStart()
	}
}

// fail fills in why apply did not take the batch. A queue that is gone counts as
// having taken it.
func (p *appendProposal) fail(err error) {
	switch {
	case p.owner != nil:
		p.owner.Err = err
	case !errors.Is(err, ErrUnknownPartition):
		p.publish.fail(err)
	}
}
