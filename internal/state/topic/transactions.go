package topic

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/polylog-mq/polylog/internal/record"
)

// Transactions in a partition. A producer is enlisted before it writes: without
// that its batches are refused, so that none can come after the marker that ends
// the transaction and hold up readers for ever. From its first batch on the
// transaction is open and the last stable offset stays below it; the marker of
// its coordinator closes it. What aborted transactions wrote is remembered as
// long as it is kept, for readers to leave it out.

var (
	// ErrNotEnlisted refuses a transactional batch of a producer that the
	// transaction's coordinator has not announced here, and any other batch of
	// one that it has.
	ErrNotEnlisted = errors.New("the partition is not part of the producer's transaction")
	// ErrStillOpen refuses to enlist a producer whose last transaction is not
	// closed here.
	ErrStillOpen = errors.New("the producer's last transaction is not closed")
)

// Transaction is one of a producer in a partition.
type Transaction struct {
	Producer int64
	Epoch    int16
	// Number is the coordinator's, of this producer's transactions.
	Number uint64
	// First is the offset of its first record, -1 before that.
	First record.Offset
}

// Aborted is the records of a producer from First to below the marker at Last
// that were written in a transaction which was aborted.
type Aborted struct {
	Producer    int64
	First, Last record.Offset
	// Stable is the last stable offset once the marker was written: whatever
	// was aborted later begins there or above.
	Stable record.Offset
}

// transactions is what a partition knows of them.
type transactions struct {
	enlisted map[int64]*Transaction
	// open are those that have written, in the order of their first records.
	open []*Transaction
	// aborted is ordered by Last. It is only ever appended to and cut at its
	// beginning, so that readers on other goroutines may keep what they have.
	aborted []Aborted
	// firstAborted is the number of aborted[0].
	firstAborted uint64
	// wantAborted is what a restore expects len(aborted) to become.
	wantAborted int
}

// Enlist lets a producer write a transaction of this number under this epoch. It
// is idempotent.
func (s *Partitions) Enlist(p *Partition, t Transaction) error {
	if old := p.txns.enlisted[t.Producer]; old != nil {
		switch {
		case old.Number == t.Number && old.Epoch == t.Epoch:
			return nil
		case old.First >= 0 || old.Number > t.Number:
			return fmt.Errorf("%w: producer %d, transaction %d", ErrStillOpen, t.Producer, old.Number)
		}
	} else if len(p.txns.enlisted) >= maxEnlisted {
		return fmt.Errorf("%w: %d producers with a transaction", ErrTooMany, maxEnlisted)
	}
	s.touchOpen(p)
	if p.txns.enlisted == nil {
		p.txns.enlisted = map[int64]*Transaction{}
	}
	t.First = -1
	p.txns.enlisted[t.Producer] = &t
	return nil
}

// MayWrite judges a batch of a producer: nil or an error that wraps
// ErrNotEnlisted.
func (p *Partition) MayWrite(producer int64, epoch int16, transactional bool) error {
	t := p.txns.enlisted[producer]
	switch {
	case !transactional && t == nil:
		return nil
	case !transactional:
		return fmt.Errorf("%w: producer %d has a transaction and wrote outside of it", ErrNotEnlisted, producer)
	case t == nil || t.Epoch != epoch:
		return fmt.Errorf("%w: producer %d, epoch %d", ErrNotEnlisted, producer, epoch)
	}
	return nil
}

// Wrote notes that a transactional batch, which MayWrite has passed, was appended
// at base.
func (s *Partitions) Wrote(p *Partition, producer int64, base record.Offset) {
	if t := p.txns.enlisted[producer]; t.First < 0 {
		s.touchOpen(p)
		t.First = base
		p.txns.open = append(p.txns.open, t)
	}
}

// Ends reports whether the marker of a transaction ends one here, and whether
// that has written anything and so needs the marker in the log.
func (p *Partition) Ends(producer int64, epoch int16, number uint64) (enlisted, wrote bool) {
	t := p.txns.enlisted[producer]
	if t == nil || t.Number > number || t.Epoch > epoch {
		return false, false
	}
	return true, t.First >= 0
}

// End closes a transaction that Ends has found. The marker was appended at offset
// marker, unless nothing was written.
func (s *Partitions) End(now record.LogTime, p *Partition, producer int64, commit bool, marker record.Offset) {
	s.touchOpen(p)
	t := p.txns.enlisted[producer]
	delete(p.txns.enlisted, producer)
	if t.First < 0 {
		return
	}
	i := slices.Index(p.txns.open, t)
	p.txns.open = slices.Delete(p.txns.open, i, i+1)
	if p.topic.settings.Compact {
		s.schedule(now, p) // what was open may be compacted now
	}
	if commit || marker < p.start {
		return
	}
	n := p.txns.firstAborted + uint64(len(p.txns.aborted))
	s.touchAborted(p, n, n+1)
	p.txns.aborted = append(p.txns.aborted, Aborted{t.Producer, t.First, marker, p.LastStable()})
}

// LastStable returns the offset that readers of committed data stop at: the
// first one of the oldest open transaction, or the high watermark.
func (p *Partition) LastStable() record.Offset {
	if len(p.txns.open) == 0 {
		return p.next
	}
	return max(p.txns.open[0].First, p.start)
}

// Aborted returns the aborted transactions that are remembered, ordered by Last.
// The result never changes.
func (p *Partition) Aborted() []Aborted {
	return slices.Clip(p.txns.aborted)
}

// Transactions returns the transactions that producers are enlisted with, ordered
// by producer.
func (p *Partition) Transactions() []Transaction {
	all := make([]Transaction, 0, len(p.txns.enlisted))
	for _, t := range p.txns.enlisted {
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b Transaction) int { return cmp.Compare(a.Producer, b.Producer) })
	return all
}

// AbortedIn appends to dst those of the aborted transactions, ordered as Aborted
// returns them, that have records in [from, limit).
func AbortedIn(dst, all []Aborted, from, limit record.Offset) []Aborted {
	for _, a := range all[sort.Search(len(all), func(i int) bool { return all[i].Last >= from }):] {
		if a.First < limit {
			dst = append(dst, a)
		}
		if a.Stable >= limit {
			break
		}
	}
	return dst
}

// trimAborted forgets those whose records are all below the log start.
func (s *Partitions) trimAborted(p *Partition) {
	x := &p.txns
	n := sort.Search(len(x.aborted), func(i int) bool { return x.aborted[i].Last >= p.start })
	if n == 0 {
		return
	}
	s.touchOpen(p)
	s.touchAborted(p, x.firstAborted, x.firstAborted+uint64(n))
	x.firstAborted += uint64(n)
	x.aborted = x.aborted[n:]
	if len(x.aborted) == 0 {
		x.aborted = nil
	}
}

// touchOpen must be called before every change of the transactions under way.
func (s *Partitions) touchOpen(p *Partition) {
	s.pages.Touch(shardPage{kind: pageOpen, id: uint64(p.id)})
}

// touchAborted marks the pages of the aborted transactions with numbers in [from,
// to).
func (s *Partitions) touchAborted(p *Partition, from, to uint64) {
	for chunk := from / abortedPerPage; chunk*abortedPerPage < to; chunk++ {
		s.pages.Touch(shardPage{pageAborted, uint64(p.id), chunk})
	}
}
