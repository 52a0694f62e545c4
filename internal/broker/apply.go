package broker

import (
	"fmt"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/dedup"
	"github.com/polylog-mq/polylog/internal/state/topic"
	"github.com/polylog-mq/polylog/internal/store"
)

// applyAppend gives the batches of a command their offsets. The command's
// payload ends at byte end of the entry's data.
func (s *shard) applyAppend(e *replica.Entry, payload []byte, end int) error {
	targets, facts, batches, err := splitAppend(payload)
	if err != nil {
		return err
	}
	if targets.len() == 0 {
		s.locals.append()
	}
	for i := range targets.len() {
		a := appending{s: s, e: e, target: targets.at(i), facts: facts, answer: i == 0}
		if p := s.parts[a.target.partition]; p != nil && !p.state.Dropped() {
			a.part = p
		}
		a.pos = uint32(e.Base + end - len(batches))
		if err := a.all(batches); err != nil {
			return err
		}
	}
	return nil
}

// appending is the append of consecutive batches to one target.
type appending struct {
	s      *shard
	e      *replica.Entry
	target target
	facts  facts
	told   bool       // the lease set knows of facts.bytes
	part   *Partition // nil if it is not defined here
	// answer says that the proposals of the batches are answered with what
	// this target says: the first one does.
	answer bool
	// pos is where the next batch lies in the stored entry.
	pos uint32
	// run collects the batches that were appended since the last one that was
	// not; its Len is 0 if there are none.
	run store.Run
	// next is the entry id that would continue the run.
	next record.EntryID
}

func (a *appending) all(batches []byte) error {
	for len(batches) > 0 {
		n, err := record.Size(batches)
		if err != nil || n > len(batches) {
			return fmt.Errorf("%w: a batch of %d bytes in %d: %w", errBody, n, len(batches), err)
		}
		h, err := record.ParseHeader(batches)
		if err != nil {
			return fmt.Errorf("%w: %w", errBody, err)
		}
		a.one(&h, n)
		a.pos += uint32(n)
		batches = batches[n:]
	}
	a.flush()
	return nil
}

// one judges a batch of n bytes, appends it or not, and answers.
func (a *appending) one(h *record.Header, n int) {
	var local *appendProposal
	if a.answer {
		local = a.s.locals.append()
	}
	p := a.part
	if p == nil {
		if local != nil {
			local.fail(ErrUnknownPartition)
		}
		return
	}
	var d dedup.Batch
	var seen dedup.Verdict
	if h.HasProducer() {
		var err error
		d = dedup.Batch{
			Partition: p.id, Producer: h.ProducerID, Epoch: h.ProducerEpoch,
			First: h.BaseSequence, Last: h.LastSequence(),
		}
		seen, err = a.s.producers.Check(&d)
		if err != nil || seen.Duplicate && !fault.On(fault.SkipDedup) {
			a.flush()
			if local != nil {
				local.repeat(p.state, seen, err)
			}
			return
		}
	}
	if h.HasProducer() {
		if err := p.state.MayWrite(h.ProducerID, h.ProducerEpoch, h.Transactional()); err != nil {
			a.flush()
			if local != nil {
				local.fail(err)
			}
			return
		}
	}
	v := a.s.topics.Append(a.e.Now, a.e.Term, p.state, topic.Batch{
		Offsets: h.LastOffsetDelta + 1, Size: int32(n), MaxTimestamp: h.MaxTimestamp,
	})
	if h.HasProducer() {
		a.s.producers.Record(a.e.Now, &d, seen, v.Base)
		if h.Transactional() {
			a.s.topics.Wrote(p.state, h.ProducerID, v.Base)
		}
	}
	a.extend(h, n, v)
	if p.lease != nil {
		a.toQueue(h, n, v.Base)
	}
	if local != nil {
		stamped := int64(record.NoTimestamp)
		if h.LogAppendTime() {
			stamped = h.MaxTimestamp
		}
		local.answer(v.Base, stamped, p.state)
	}
}

// extend puts an appended batch into the run, or begins another.
func (a *appending) extend(h *record.Header, n int, v topic.Verdict) {
	flags := runFlags(h)
	if a.run.Len > 0 && (a.run.Flags != flags || a.next != v.FirstID || a.run.Epoch != v.Epoch) {
		a.flush()
	}
	if a.run.Len == 0 {
		a.run = store.Run{
			Partition: a.target.partition, Level: a.target.level, Flags: flags, Epoch: v.Epoch,
			Base: v.Base, LogTime: a.e.Now, MaxTimestamp: h.MaxTimestamp, FirstID: v.FirstID, Pos: a.pos,
		}
	}
	a.run.Last = v.Base + record.Offset(h.LastOffsetDelta)
	a.run.MaxTimestamp = max(a.run.MaxTimestamp, h.MaxTimestamp)
	a.run.Len += uint32(n)
	a.next = v.FirstID
	a.next.Seq += uint64(h.LastOffsetDelta) + 1
}

func runFlags(h *record.Header) (f store.RunFlags) {
	if h.Control() {
		f |= store.Control
	}
	if h.Transactional() {
		f |= store.Transactional
	}
	return f
}

// flush ends the run.
func (a *appending) flush() {
	if a.run.Len == 0 {
		return
	}
	s, p := a.s, a.part
	s.runs = append(s.runs, a.run)
	p.fresh += int(a.run.Len)
	if !p.touched {
		p.touched = true
		s.touched = append(s.touched, p)
	}
	if a.run.Epoch != p.newestEpoch {
		p.publishEpochs()
	}
	a.run.Len = 0
}

// repeat answers a batch that was not appended: a duplicate as the first copy
// was, or what is wrong with its producer's epoch or sequence.
func (p *appendProposal) repeat(s *topic.Partition, seen dedup.Verdict, err error) {
	if err != nil {
		p.fail(err)
		return
	}
	stamped := int64(record.NoTimestamp)
	if s.Settings().LogAppendTime {
		stamped = int64(seen.Time)
	}
	p.answer(seen.Base, stamped, s)
}
