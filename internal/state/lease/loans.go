package lease

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
)

// Never is the deadline of a loan that does not end by time.
const Never = record.LogTime(1<<63 - 1)

// Loan is a lease that the log knows of: it was given for a time, or until
// somebody claims it, and belongs to no session. It outlives the leadership that
// gave it.
type Loan struct {
	ID
	// Owner is who has it, as the owner was named.
	Owner string
	Level uint8
	// Group is that of the record, 0 if it has none.
	Group uint64
	// Size is that of the record's body, in bytes.
	Size int32
	// Since is when it was given, Until when it ends: Never if only a claim can.
	Since, Until record.LogTime
	// Over says that its time has passed. The record can be given again, and was
	// not yet: until then a verdict is honoured.
	Over bool
}

// loanPage is the loans of loansPerPage consecutive offsets, ascending.
type loanPage struct{ list []Loan }

func (p *loanPage) find(o record.Offset) (int, bool) {
	return slices.BinarySearchFunc(p.list, o, func(l Loan, o record.Offset) int { return cmp.Compare(l.Offset, o) })
}

// loans are those of a set.
type loans struct {
	pages map[uint64]*loanPage
	// all counts them, live those that are not over, and bytes the bodies of
	// these.
	all, live int
	bytes     int64
}

func loanPageOf(o record.Offset) uint64 { return uint64(o) / loansPerPage }

// Loan returns the loan of the record at o, nil if there is none. It is good until
// the next command.
func (s *Set) Loan(o record.Offset) *Loan {
	if s.loans.all == 0 {
		return nil
	}
	p := s.loans.pages[loanPageOf(o)]
	if p == nil {
		return nil
	}
	if i, ok := p.find(o); ok {
		return &p.list[i]
	}
	return nil
}

// Lent returns how many records are lent, and not over.
func (s *Set) Lent() int64 { return int64(s.loans.live) }

// Loans yields the loans of records at or above from, in their order. What it
// yields is good until the next command.
func (s *Set) Loans(from record.Offset, yield func(*Loan) bool) {
	for _, k := range slices.Sorted(maps.Keys(s.loans.pages)) {
		if k < loanPageOf(from) {
			continue
		}
		list := s.loans.pages[k].list
		i, _ := s.loans.pages[k].find(from)
		for ; i < len(list); i++ {
			if !yield(&list[i]) {
				return
			}
		}
	}
}

func (s *State) touchLoans(set *Set, k uint64) { s.pages.Touch(pageKey{pageLoans, set.id, k}) }

// putLoan lends a record, in place of the loan it may have.
func (s *State) putLoan(set *Set, l Loan) {
	s.dropLoan(set, l.Offset)
	l.Partition = set.id
	k := loanPageOf(l.Offset)
	s.touchLoans(set, k)
	p := set.loans.pages[k]
	if p == nil {
		p = &loanPage{}
		if set.loans.pages == nil {
			set.loans.pages = map[uint64]*loanPage{}
		}
		set.loans.pages[k] = p
	}
	i, _ := p.find(l.Offset)
	p.list = slices.Insert(p.list, i, l)
	set.loans.count(&l, 1)
	s.watchLoan(set, &l)
}

// restoreLoans takes in a page of a checkpoint.
func (s *Set) restoreLoans(number uint64, p *loanPage) {
	if s.loans.pages == nil {
		s.loans.pages = map[uint64]*loanPage{}
	}
	s.loans.pages[number] = p
	for i := range p.list {
		p.list[i].Partition = s.id
		s.loans.count(&p.list[i], 1)
	}
}

// count adds a loan to the sums, or with n = -1 takes it out.
func (t *loans) count(l *Loan, n int) {
	t.all += n
	if !l.Over {
		t.live += n
		t.bytes += int64(n) * int64(l.Size)
	}
}

// dropLoan forgets the loan of a record, if it has one. The record stays held.
func (s *State) dropLoan(set *Set, o record.Offset) {
	if set.loans.all == 0 {
		return
	}
	k := loanPageOf(o)
	p := set.loans.pages[k]
	if p == nil {
		return
	}
	if i, ok := p.find(o); ok {
		s.touchLoans(set, k)
		set.loans.count(&p.list[i], -1)
		if p.list = slices.Delete(p.list, i, i+1); len(p.list) == 0 {
			delete(set.loans.pages, k)
		}
	}
}

// dropLoans forgets the loans of records that are being settled.
func (s *State) dropLoans(set *Set, lo, hi record.Offset) {
	if set.loans.all == 0 {
		return
	}
	var gone []record.Offset
	if uint64(hi-lo)/loansPerPage < uint64(len(set.loans.pages)) {
		for k := loanPageOf(lo); k <= loanPageOf(hi); k++ {
			gone = set.loans.pages[k].within(gone, lo, hi)
		}
	} else {
		for _, k := range slices.Sorted(maps.Keys(set.loans.pages)) {
			gone = set.loans.pages[k].within(gone, lo, hi)
		}
	}
	for _, o := range gone {
		s.dropLoan(set, o)
	}
}

// within appends the offsets of the loans in [lo, hi]. p may be nil.
func (p *loanPage) within(dst []record.Offset, lo, hi record.Offset) []record.Offset {
	if p == nil {
		return dst
	}
	for i, _ := p.find(lo); i < len(p.list) && p.list[i].Offset <= hi; i++ {
		dst = append(dst, p.list[i].Offset)
	}
	return dst
}

// lend carries out a change of a loan.
func (s *State) lend(now record.LogTime, term record.Term, set *Set, c *LoanChange, fx *Effects) {
	o := c.Offset
	if o >= set.next || set.Settled(o) {
		return
	}
	was := set.Loan(o)
	if c.What == Lend {
		if was != nil && !was.Over || set.isHeld(o) {
			return
		}
		set.mark(Mark{c.Level, o + 1})
		s.putLoan(set, c.loan(now, term))
		s.hold(set, o)
		return
	}
	if was == nil || was.Term != c.Term || was.Counter != c.Counter {
		return
	}
	switch c.What {
	case Settle:
		s.endLoan(set, *was, c.Verdict, fx)
	case Extend:
		if c.For == 0 {
			s.endLoan(set, *was, ReleaseCounted, fx)
		} else if !was.Over {
			l := *was
			l.Until = until(now, c.For)
			s.putLoan(set, l)
		}
	case Claim:
		s.claim(now, term, set, *was, c)
	case Forget:
		if was.Over {
			s.dropLoan(set, o)
		}
	}
}

// loan returns what Lend makes.
func (c *LoanChange) loan(now record.LogTime, term record.Term) Loan {
	return Loan{
		ID:    ID{Offset: c.Offset, Term: term, Counter: c.New},
		Owner: c.Owner, Level: c.Level, Group: c.Group, Size: c.Size, Since: now, Until: until(now, c.For),
	}
}

// until returns when a loan ends that is given for so many ms, negative for ever.
func until(now record.LogTime, ms int64) record.LogTime {
	if ms < 0 {
		return Never
	}
	if fault.On(fault.ShortLease) {
		ms /= 2
	}
	return now + record.LogTime(min(ms, MaxTime))
}

// endLoan carries out a verdict on a record that is lent.
func (s *State) endLoan(set *Set, l Loan, v Verdict, fx *Effects) {
	o := l.Offset
	s.dropLoan(set, o)
	switch v {
	case Accept:
		s.settle(set, o, o)
		set.less(int64(l.Size))
		fx.gone(set, o)
	case Reject:
		if s.kill(set, o, Rejected) {
			fx.Dying = note(fx.Dying, set)
		}
		fx.gone(set, o)
		set.less(int64(l.Size))
	default:
		if l.Over { // it was given back already
			return
		}
		s.free(set, o)
		if v == ReleaseCounted {
			s.giveBack(set, Return{o, l.Level}, fx)
			return
		}
		fx.Back = append(fx.Back, Returned{set, o, l.Level, set.Attempts(o)})
	}
}

// less takes the bodies of records that are settled, or dying, out of the sum.
func (s *Set) less(bytes int64) {
	if s.bytes -= bytes; s.bytes < 0 || s.Unsettled() == 0 {
		s.bytes = 0
	}
}

// claim hands a loan to another owner.
func (s *State) claim(now record.LogTime, term record.Term, set *Set, l Loan, c *LoanChange) {
	free := l.Over
	l.ID = ID{Offset: l.Offset, Term: term, Counter: c.New}
	l.Owner, l.Until, l.Over = c.Owner, until(now, c.For), false
	l.Since = now - record.LogTime(min(c.Idle, int64(now)))
	switch {
	case c.Attempts >= 0:
		s.chunk(set, chunkOf(l.Offset)).setCount(low(l.Offset), uint16(min(c.Attempts, maxAttempts)))
	case c.Attempts == CountUp:
		s.chunk(set, chunkOf(l.Offset)).count(low(l.Offset))
	}
	s.putLoan(set, l)
	if free {
		s.hold(set, l.Offset)
	}
}

// loanEnd is when a loan may end: it does if that is still so.
type loanEnd struct {
	at     record.LogTime
	set    record.PartitionID
	offset record.Offset
}

// watchLoan sees to it that a loan ends by time. What is noted of loans that have
// ended otherwise, or were extended, goes when it makes up more than half.
func (s *State) watchLoan(set *Set, l *Loan) {
	if l.Until == Never || l.Over {
		return
	}
	heap.Push(&s.ends, loanEnd{l.Until, set.id, l.Offset})
	live := 0
	if len(s.ends) < s.endsKept {
		return
	}
	for _, x := range s.ends {
		if l := s.ending(x); l != nil {
			s.ends[live] = x
			live++
		}
	}
	s.ends = s.ends[:live]
	heap.Init(&s.ends)
	s.endsKept = max(leastEnds, 2*live)
}

// ending returns the loan that ends as noted, nil if it has ended or will later.
func (s *State) ending(x loanEnd) *Loan {
	set := s.sets[x.set]
	if set == nil {
		return nil
	}
	l := set.Loan(x.offset)
	if l == nil || l.Over || l.Until != x.at {
		return nil
	}
	return l
}

// NextDeadline returns the log time at which Tick has work to do, or may have.
func (s *State) NextDeadline() (record.LogTime, bool) {
	if len(s.ends) == 0 {
		return 0, false
	}
	return s.ends[0].at, true
}

// Tick ends the loans whose time has passed, at most so many; NextDeadline stays
// in the past while there are more. Each counts as a return.
func (s *State) Tick(now record.LogTime, fx *Effects) {
	for range endsPerTick {
		if len(s.ends) == 0 || s.ends[0].at > now {
			return
		}
		x := heap.Pop(&s.ends).(loanEnd)
		l := s.ending(x)
		if l == nil {
			continue
		}
		set := s.sets[x.set]
		s.touch(set)
		s.touchLoans(set, loanPageOf(x.offset))
		set.loans.count(l, -1)
		l.Over = true
		set.loans.count(l, 1)
		level := l.Level
		s.free(set, x.offset)
		fx.Changed = note(fx.Changed, set)
		s.giveBack(set, Return{x.offset, level}, fx)
	}
}

// loanEnds has the loan that ends first on top.
type loanEnds []loanEnd

func (h loanEnds) Len() int { return len(h) }
func (h loanEnds) Less(i, j int) bool {
	a, b := h[i], h[j]
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.set, b.set), cmp.Compare(a.offset, b.offset)) < 0
}
func (h loanEnds) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *loanEnds) Push(x any) { *h = append(*h, x.(loanEnd)) }

// Pop implements heap.Interface.
func (h *loanEnds) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
