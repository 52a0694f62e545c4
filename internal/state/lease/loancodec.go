package lease

import (
	"math"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// appendLoans writes what becomes of loans. An offset is told as the distance from
// the one before.
func (c *Change) appendLoans(dst []byte) []byte {
	dst = codec.AppendUvarint(dst, c.Term)
	dst = codec.AppendUvarint(dst, uint(len(c.Loans)))
	at := record.Offset(0)
	for i := range c.Loans {
		x := &c.Loans[i]
		dst = codec.AppendVarint(append(dst, byte(x.What)), x.Offset-at)
		at = x.Offset
		dst = x.appendTo(dst)
	}
	return dst
}

func (x *LoanChange) appendTo(dst []byte) []byte {
	if x.What != Lend {
		dst = codec.AppendUvarint(codec.AppendUvarint(dst, x.Term), x.Counter)
	}
	switch x.What {
	case Lend:
		dst = codec.AppendUvarint(dst, x.New)
		dst = codec.AppendBytes(dst, x.Owner)
		dst = codec.AppendVarint(dst, x.For)
		dst = codec.AppendUvarint(append(dst, x.Level), x.Group)
		dst = codec.AppendVarint(dst, x.Size)
	case Settle:
		dst = append(dst, byte(x.Verdict))
	case Extend:
		dst = codec.AppendVarint(dst, x.For)
	case Claim:
		dst = codec.AppendUvarint(dst, x.New)
		dst = codec.AppendBytes(dst, x.Owner)
		dst = codec.AppendVarint(dst, x.For)
		dst = codec.AppendVarint(codec.AppendVarint(dst, x.Idle), x.Attempts)
	}
	return dst
}

// loans reads what appendLoans wrote.
func (r *reader) loans(c *Change) {
	c.Term = record.Term(r.Uvarint(math.MaxUint64))
	c.Loans = make([]LoanChange, r.Count(maxItems, 3))
	at := record.Offset(0)
	for i := range c.Loans {
		x := &c.Loans[i]
		x.What, x.Offset = LoanOp(r.Byte()), r.step(&at)
		if x.What >= loanOps {
			r.Fail("change %d of a loan", x.What)
		}
		r.loanChange(x)
	}
}

func (r *reader) loanChange(x *LoanChange) {
	if x.What != Lend {
		x.Term, x.Counter = record.Term(r.Uvarint(math.MaxUint64)), r.Uvarint(math.MaxUint64)
	}
	switch x.What {
	case Lend:
		x.New, x.Owner, x.For = r.Uvarint(math.MaxUint64), r.String(maxOwner), r.long()
		x.Level, x.Group, x.Size = r.Byte(), r.Uvarint(math.MaxUint64), int32(r.Varint(0, math.MaxInt32))
	case Settle:
		if x.Verdict = Verdict(r.Byte()); x.Verdict >= verdicts {
			r.Fail("verdict %d", x.Verdict)
		}
	case Extend:
		x.For = r.long()
	case Claim:
		x.New, x.Owner, x.For = r.Uvarint(math.MaxUint64), r.String(maxOwner), r.long()
		x.Idle, x.Attempts = r.Varint(0, math.MaxInt64), int32(r.Varint(int64(CountKeep), math.MaxInt32))
	}
}

// encode writes a page of loans.
func (p *loanPage) encode(dst []byte) []byte {
	at := record.Offset(0)
	for i := range p.list {
		l := &p.list[i]
		dst = codec.AppendVarint(dst, l.Offset-at)
		at = l.Offset
		dst = codec.AppendUvarint(codec.AppendUvarint(dst, l.Term), l.Counter)
		dst = codec.AppendBytes(dst, l.Owner)
		dst = codec.AppendUvarint(append(dst, l.Level), l.Group)
		dst = codec.AppendVarint(dst, l.Size)
		dst = codec.AppendVarint(codec.AppendVarint(dst, l.Since), l.Until)
		dst = codec.AppendBool(dst, l.Over)
	}
	return dst
}

// loanPage reads what encode wrote.
func (r *reader) loanPage(number uint64) *loanPage {
	p := &loanPage{}
	at := record.Offset(0)
	for r.Len() > 0 && len(p.list) < loansPerPage {
		before := at
		l := Loan{ID: ID{Offset: r.step(&at)}}
		l.Term, l.Counter = record.Term(r.Uvarint(math.MaxUint64)), r.Uvarint(math.MaxUint64)
		l.Owner, l.Level, l.Group = r.String(maxOwner), r.Byte(), r.Uvarint(math.MaxUint64)
		l.Size = int32(r.Varint(0, math.MaxInt32))
		l.Since, l.Until, l.Over = record.LogTime(r.long()), record.LogTime(r.long()), r.Bool()
		if loanPageOf(at) != number || len(p.list) > 0 && at <= before {
			r.Fail("a loan of offset %d", at)
		}
		p.list = append(p.list, l)
	}
	return p
}
