package topic

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
)

// encodeOpen appends which aborted transactions other pages have, and the
// transactions that producers are enlisted with.
func (p *Partition) encodeOpen(dst []byte) ([]byte, bool) {
	all, x := p.Transactions(), &p.txns
	if len(all) == 0 && x.firstAborted == 0 && len(x.aborted) == 0 {
		return dst, false
	}
	dst = codec.AppendUvarint(dst, x.firstAborted)
	dst = codec.AppendUvarint(dst, uint(len(x.aborted)))
	dst = codec.AppendUvarint(dst, uint(len(all)))
	for _, t := range all {
		dst = codec.AppendVarint(dst, t.Producer)
		dst = codec.AppendVarint(dst, t.Epoch)
		dst = codec.AppendUvarint(dst, t.Number)
		dst = codec.AppendVarint(dst, t.First)
	}
	return dst, true
}

// encodeAborted appends the number of the page's first aborted transaction, then
// its transactions.
func (p *Partition) encodeAborted(dst []byte, chunk uint64) ([]byte, bool) {
	first := p.txns.firstAborted
	from := max(chunk*abortedPerPage, first)
	to := min((chunk+1)*abortedPerPage, first+uint64(len(p.txns.aborted)))
	if from >= to {
		return dst, false
	}
	dst = codec.AppendUvarint(dst, from)
	for _, a := range p.txns.aborted[from-first : to-first] {
		dst = codec.AppendVarint(dst, a.Producer)
		dst = codec.AppendVarint(dst, a.First)
		dst = codec.AppendVarint(dst, a.Last)
		dst = codec.AppendVarint(dst, a.Stable)
	}
	return dst, true
}

// restoredOpen is what encodeOpen has written.
type restoredOpen struct {
	firstAborted uint64
	aborted      int
	list         []Transaction
}

func readOpen(r *codec.Reader) restoredOpen {
	o := restoredOpen{firstAborted: r.Uvarint(math.MaxUint64 - maxAborted), aborted: int(r.Uvarint(maxAborted))}
	o.list = make([]Transaction, r.Count(maxEnlisted, 4))
	for i := range o.list {
		o.list[i] = Transaction{
			Producer: r.Varint(0, math.MaxInt64), Epoch: int16(r.Varint(0, math.MaxInt16)),
			Number: r.Uvarint(math.MaxUint64), First: record.Offset(r.Varint(-1, math.MaxInt64)),
		}
	}
	return o
}

// restoredAborted is a page of aborted transactions: the number of the first one,
// and all.
type restoredAborted struct {
	first uint64
	list  []Aborted
}

func readAborted(k shardPage, r *codec.Reader) restoredAborted {
	a := restoredAborted{first: r.Uvarint(math.MaxUint64)}
	if a.first/abortedPerPage != k.chunk {
		r.Fail("aborted transaction %d is no part of this page", a.first)
	}
	for r.Len() > 0 && len(a.list) < abortedPerPage {
		a.list = append(a.list, Aborted{
			Producer: r.Varint(0, math.MaxInt64), First: readOffset(r), Last: readOffset(r), Stable: readOffset(r),
		})
	}
	return a
}

// adoptOpen takes the page of the transactions under way.
func (p *Partition) adoptOpen(o restoredOpen) error {
	p.txns.firstAborted, p.txns.wantAborted = o.firstAborted, o.aborted
	p.txns.enlisted = make(map[int64]*Transaction, len(o.list))
	for i := range o.list {
		t := &o.list[i]
		if p.txns.enlisted[t.Producer] != nil || t.First >= p.next {
			return fmt.Errorf("%w: the transaction of producer %d from %d on", codec.ErrMalformed, t.Producer, t.First)
		}
		p.txns.enlisted[t.Producer] = t
		if t.First >= 0 {
			p.txns.open = append(p.txns.open, t)
		}
	}
	slices.SortFunc(p.txns.open, func(a, b *Transaction) int { return cmp.Compare(a.First, b.First) })
	return nil
}

// adoptAborted takes the next page of aborted transactions.
func (p *Partition) adoptAborted(a restoredAborted) error {
	if a.first != p.txns.firstAborted+uint64(len(p.txns.aborted)) {
		return fmt.Errorf("%w: aborted transaction %d of partition %d does not follow", codec.ErrMalformed, a.first, p.id)
	}
	if fault.On(fault.ForgetAborted) {
		for i := range a.list {
			a.list[i].Last = -1
		}
	}
	p.txns.aborted = append(p.txns.aborted, a.list...)
	return nil
}
