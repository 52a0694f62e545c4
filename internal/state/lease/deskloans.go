package lease

import "github.com/polylog-mq/polylog/internal/record"

// Outcome says what a desk makes of a verdict on a loan.
type Outcome uint8

// The outcomes.
const (
	// Stands: the verdict counts, if it gets into the log.
	Stands Outcome = iota
	// WasSettled: the record was settled before.
	WasSettled
	// WasOver: the loan's time has passed, and the verdict needs one that lasts.
	WasOver
	// WasLost: the record is lent to somebody else, or was never lent so.
	WasLost
)

// Lend gives the record, for so many ms or with a negative number until it is
// claimed, to an owner who has no session. It is his when the Change is applied
// and Holds says so.
func (d *Desk) Lend(w Want, f Found, owner string, ms int64) Grant {
	g := d.grant(w, f)
	d.take(w, f)
	g.Lease.Counter = d.leases.number()
	d.out.Loans = append(d.out.Loans, LoanChange{
		What: Lend, Offset: f.Offset, New: g.Lease.Counter, Owner: owner, For: ms, Level: w.Level, Group: f.Group, Size: f.Size,
	})
	d.pending++
	d.lends++
	d.lending[f.Offset] = struct{}{}
	d.lendingBytes += int64(f.Size)
	d.groupOut(f.Group, f.Offset)
	return g
}

// lentApplied tells that a change of a loan was applied.
func (d *Desk) lentApplied(c *LoanChange) {
	switch c.What {
	case Lend:
		d.lends--
		d.lendingBytes -= int64(c.Size)
		delete(d.lending, c.Offset)
	case Claim:
		delete(d.lending, c.Offset)
	case Forget:
		delete(d.forgetting, c.Offset)
	default:
	}
}

// forget has the log forget the loan that is over of a record that a session gets.
func (d *Desk) forget(o record.Offset) {
	if l := d.set.Loan(o); l != nil {
		d.out.Loans = append(d.out.Loans, LoanChange{What: Forget, Offset: o, Term: l.Term, Counter: l.Counter})
		d.forgetting[o] = struct{}{}
	}
}

// loan returns the loan of an id, and what is to be said if it has no say.
func (d *Desk) loan(id ID) (*Loan, Outcome) {
	l := d.set.Loan(id.Offset)
	_, lending := d.lending[id.Offset]
	_, forgetting := d.forgetting[id.Offset]
	switch {
	case d.set.Settled(id.Offset):
		return nil, WasSettled
	case lending || forgetting || l == nil || l.Term != id.Term || l.Counter != id.Counter:
		return nil, WasLost
	case l.Over:
		return l, WasOver
	}
	return l, Stands
}

// Holds reports whether a loan, or the lease of a holder, lasts.
func (d *Desk) Holds(h *Holder, id ID) bool {
	if h != nil {
		return id.Term == d.term && d.leases.find(h, id.Counter) != 0
	}
	l := d.set.Loan(id.Offset)
	return l != nil && !l.Over && l.Term == id.Term && l.Counter == id.Counter
}

// SettleLoan carries out a verdict on a loan. One whose time has passed settles
// its record all the same, unless strict is set or the record was given to
// somebody else.
func (d *Desk) SettleLoan(id ID, v Verdict, strict bool) Outcome {
	_, o := d.loan(id)
	if o == WasOver && !strict && (v == Accept || v == Reject) {
		o = Stands
	}
	if o == Stands {
		d.out.Loans = append(d.out.Loans, LoanChange{
			What: Settle, Offset: id.Offset, Term: id.Term, Counter: id.Counter, Verdict: v,
		})
	}
	return o
}

// ExtendLoan lets a loan last so many ms from when it is applied, negative until
// it is claimed; 0 gives the record back, counted.
func (d *Desk) ExtendLoan(id ID, ms int64) Outcome {
	_, o := d.loan(id)
	if o == Stands {
		d.out.Loans = append(d.out.Loans, LoanChange{
			What: Extend, Offset: id.Offset, Term: id.Term, Counter: id.Counter, For: ms,
		})
	}
	return o
}

// Claim hands a loan, also one that is over, to another owner: from Owner, For,
// Idle and Attempts of c. It reports false if the record is being given to
// somebody else, or is its group's next.
func (d *Desk) Claim(l *Loan, c LoanChange) (Grant, bool) {
	_, busy := d.lending[l.Offset]
	if _, forgetting := d.forgetting[l.Offset]; busy || forgetting || l.Over && d.set.settings.Grouped {
		return Grant{}, false
	}
	c.What, c.Offset, c.Term, c.Counter, c.New = Claim, l.Offset, l.Term, l.Counter, d.leases.number()
	d.out.Loans = append(d.out.Loans, c)
	d.lending[l.Offset] = struct{}{}
	g := Grant{Lease: ID{d.set.id, l.Offset, d.term, c.New}, Redelivered: true, Attempts: d.set.Attempts(l.Offset)}
	switch {
	case c.Attempts >= 0:
		g.Attempts = c.Attempts
	case c.Attempts == CountUp:
		g.Attempts++
	}
	return g, true
}
