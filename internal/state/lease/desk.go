package lease

import (
	"math/bits"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
)

// Desk is what the leader alone knows of a set. It never sees a byte: it says
// which record it wants next, and is told what was found. What it decides is
// gathered into a Change, which the caller takes (Take) and logs; until that is
// applied (Applied) the records concerned are in nobody's hands.
type Desk struct {
	set  *Set
	term record.Term

	levels []level
	// ahead is how far ahead of what it gives the desk asks for leave.
	ahead record.Offset
	// maybe has a bit for every level that may have something to give.
	maybe [4]uint64

	consumers consumers
	leases    leases
	// away are the levels, where not 0, of records that a change under way may
	// give back.
	away map[record.Offset]uint8

	out     Change
	pending int64 // records in out, or in changes that are not applied yet
	// lending are the records that are being lent, or claimed, by changes that are
	// not applied yet: lends counts the former, with bodies of lendingBytes. The
	// loans of those in forgetting are being forgotten.
	lending, forgetting map[record.Offset]struct{}
	lends, lendingBytes int64

	groups groups

	// leasedBytes and pendingBytes are the bodies that leases and pending have.
	leasedBytes, pendingBytes int64
}

// level is one priority.
type level struct {
	// cursor is the first offset that nobody has looked at, high the one after
	// the last record.
	cursor, high record.Offset
	// back holds the records that were given back: all lie below the cursor.
	back backHeap
	// old is below which offset an earlier leader may have delivered.
	old   record.Offset
	asked record.Offset // the mark last asked for
}

// NewDesk opens a desk over a set, at the beginning of a leader's term.
func NewDesk(set *Set, term record.Term) *Desk {
	d := &Desk{
		set: set, term: term, ahead: markAhead, out: Change{Partition: set.id}, away: map[record.Offset]uint8{},
		lending: map[record.Offset]struct{}{}, forgetting: map[record.Offset]struct{}{}, groups: newGroups(),
	}
	d.Configure()
	for i := range d.levels {
		l := &d.levels[i]
		l.cursor, l.high, l.old = set.floor, set.next, set.Marked(uint8(i))
		if fault.On(fault.ForgetRedelivered) {
			l.old = 0
		}
		d.look(uint8(i))
	}
	set.Loans(0, func(l *Loan) bool {
		if !l.Over {
			d.groupOut(l.Group, l.Offset)
		}
		return true
	})
	return d
}

// Configure follows a change of the set's settings.
func (d *Desk) Configure() {
	for len(d.levels) <= int(d.set.settings.MaxPriority) {
		d.levels = append(d.levels, level{cursor: d.set.next, high: d.set.next})
	}
	d.consumers.single = d.set.settings.SingleActive
}

// Set returns what the desk gives away.
func (d *Desk) Set() *Set { return d.set }

// Levels returns the number of levels: those a record can have are below.
func (d *Desk) Levels() int { return len(d.levels) }

// Leased returns how many records are in somebody's hands.
func (d *Desk) Leased() int64 { return d.leases.count + d.set.Lent() + d.lends }

// Given returns how many leases the desk has given, ever.
func (d *Desk) Given() uint64 { return d.leases.given }

// HeldSince returns, each once, the holders that still have one of the first n
// leases.
func (d *Desk) HeldSince(n uint64) []*Holder { return d.leases.upTo(n) }

// Ready returns how many records could be given if there were consumers.
func (d *Desk) Ready() int64 {
	return d.set.Unsettled() - d.set.Held() - d.leases.count - d.pending
}

// ReadyBytes returns the size of the bodies of the records that could be given.
func (d *Desk) ReadyBytes() int64 {
	return d.set.bytes - d.leasedBytes - d.pendingBytes - d.lendingBytes - d.set.loans.bytes
}

// Consumers returns who is there. The result is shared: read only.
func (d *Desk) Consumers() []*Consumer { return d.consumers.all }

// look makes a level be looked at again.
func (d *Desk) look(n uint8) { d.maybe[n/64] |= 1 << (n % 64) }

// Appended tells that records up to last came in at a level.
func (d *Desk) Appended(n uint8, last record.Offset) {
	n = min(n, uint8(len(d.levels)-1))
	d.levels[n].high = max(d.levels[n].high, last+1)
	d.look(n)
}

// Add lets a consumer take records: as many as credit says, negative for any
// number. ErrExclusive.
func (d *Desk) Add(c *Consumer, credit int64) error {
	if err := d.consumers.add(c, credit); err != nil {
		return err
	}
	if !d.Strict() {
		d.ask(0, d.levels[0].cursor)
	}
	return nil
}

// Remove ends a consumer; its leases stay with the holder.
func (d *Desk) Remove(c *Consumer) { d.consumers.remove(c) }

// Grant adds to a consumer's credit.
func (d *Desk) Grant(c *Consumer, n int64) { d.consumers.grant(c, n) }

// Limit replaces a consumer's credit; negative is any number.
func (d *Desk) Limit(c *Consumer, n int64) { d.consumers.limit(c, n) }

// Want names the record that a desk would give next: that at From if Exact, else
// the first of the level from there on, which is to be below Limit.
type Want struct {
	Level       uint8
	Exact       bool
	From, Limit record.Offset

	fresh  bool   // it was never given
	parked uint64 // the group among whose parked records it is
}

// Wanting reports whether a consumer with credit waits, and may have a record.
func (d *Desk) Wanting() bool {
	return d.consumers.pick() != nil && !d.Full()
}

// Full reports whether as many records are in somebody's hands as may be.
func (d *Desk) Full() bool {
	most := int64(d.set.settings.InFlightLimit)
	return most > 0 && d.Leased() >= most || d.leases.full()
}

// Next returns what would be given next, highest level first, and false if there
// is nothing. The caller answers with Give, Die or Pass.
func (d *Desk) Next() (Want, bool) {
	if w, ok := d.sameGroup(); ok {
		return w, true
	}
	for w := len(d.maybe) - 1; w >= 0; w-- {
		for d.maybe[w] != 0 {
			n := uint8(w*64 + bits.Len64(d.maybe[w]) - 1)
			if want, ok := d.head(n); ok {
				return want, true
			}
			d.maybe[w] &^= 1 << (n % 64)
		}
	}
	return Want{}, false
}

// Head is Next of one level.
func (d *Desk) Head(n uint8) (Want, bool) {
	if d.maybe[n/64]&(1<<(n%64)) == 0 {
		return Want{}, false
	}
	return d.head(n)
}

func (d *Desk) head(n uint8) (Want, bool) {
	l := &d.levels[n]
	for len(l.back) > 0 {
		if x := l.back[0]; d.mayGive(x.offset) {
			return Want{Level: n, Exact: true, From: x.offset, Limit: x.offset + 1, fresh: x.fresh}, true
		}
		d.advance(d.popBack(l))
	}
	if !d.set.settings.Grouped {
		l.cursor = d.set.NextReady(l.cursor)
	} else if l.cursor = d.set.nextUnsettled(l.cursor); d.groups.parked >= maxParked {
		return Want{}, false
	}
	return Want{Level: n, From: l.cursor, Limit: l.high}, l.cursor < l.high
}

// mayGive reports whether a record that was given back is still to be given.
func (d *Desk) mayGive(o record.Offset) bool {
	_, lending := d.lending[o]
	return !lending && d.set.NextReady(o) == o
}

// popBack takes the first record of those that were given back, and returns the
// group whose next it was, nil if none.
func (d *Desk) popBack(l *level) *group {
	o := l.back[0].offset
	l.back.drop()
	return d.unready(o)
}

// Pass tells that the level has no record in [w.From, to): the desk looks on from
// there. With gap set no level has one, and the offsets count as settled.
func (d *Desk) Pass(w Want, to record.Offset, gap bool) {
	l := &d.levels[w.Level]
	if w.Exact {
		d.advance(d.drop(w))
		to = w.Limit
	} else {
		l.cursor = max(l.cursor, to)
	}
	if gap && to > w.From {
		d.settleRange(Range{w.From, to - 1}, 0)
	}
}

// Found is the record that a Want has led to.
type Found struct {
	Offset record.Offset
	// Size is that of its body, in bytes.
	Size int32
	// Group is the hash of its key, 0 if it has none or the set is not grouped.
	Group uint64
}

// Grant is a record in a consumer's hands.
type Grant struct {
	Consumer    *Consumer
	Lease       ID
	Redelivered bool
	Attempts    int32
}

// Give gives the record to the consumer, or to the one whose turn it is if that
// is nil: there must be one (Wanting). It reports false if deliveries may not go
// that far yet: the desk has asked for leave, and is to be asked again when the
// Change is applied. A Strict desk leases the record also to a consumer without
// acknowledgements: the caller accepts it when it hands it over.
func (d *Desk) Give(w Want, f Found, c *Consumer) (Grant, bool) {
	if d.Strict() {
		d.note(w.Level, f.Offset+1)
	} else if !d.ask(w.Level, f.Offset) {
		return Grant{}, false
	}
	g := d.grant(w, f)
	if g.Consumer = c; c == nil {
		g.Consumer = d.consumers.pick()
		d.consumers.served(g.Consumer)
	}
	d.take(w, f)
	d.forget(f.Offset)
	if g.Consumer.NoAck && !d.Strict() {
		d.settleRange(Range{f.Offset, f.Offset}, f.Size)
		return g, true
	}
	d.leasedBytes += int64(f.Size)
	g.Lease.Counter = d.leases.add(g.Consumer.Holder, f.Offset, w.Level, f.Size)
	d.groupOut(f.Group, f.Offset)
	return g, true
}

// grant describes a record that is about to be given.
func (d *Desk) grant(w Want, f Found) Grant {
	g := Grant{Lease: ID{Partition: d.set.id, Offset: f.Offset, Term: d.term}, Attempts: d.set.Attempts(f.Offset)}
	g.Redelivered = w.Exact && !w.fresh || f.Offset < d.levels[w.Level].old || g.Attempts > 0
	return g
}

// Strict reports whether nothing may be handed over before a report is applied
// that was made after it was given: of a message group, and of a single active
// consumer's queue, there are never two owners, also if this leader was deposed
// and does not know it yet. The mark is no promise then, but the record of what
// was given.
func (d *Desk) Strict() bool { return d.set.settings.SingleActive || d.set.settings.Grouped }

// note has the next report say that records of a level below o were given.
func (d *Desk) note(n uint8, o record.Offset) {
	for i := range d.out.Marks {
		if m := &d.out.Marks[i]; m.Level == n {
			m.Below = max(m.Below, o)
			return
		}
	}
	d.out.Marks = append(d.out.Marks, Mark{n, o})
}

// take moves past a record.
func (d *Desk) take(w Want, f Found) {
	l := &d.levels[w.Level]
	if w.Exact {
		d.drop(w)
		return
	}
	if fault.On(fault.GiveTwice) && f.Offset%16 == 0 && l.cursor <= f.Offset {
		l.back.add(backItem{f.Offset, true})
	}
	l.cursor = f.Offset + 1
}

// ask reports whether a record of a level may be delivered, and asks for leave to
// go further in good time. While the desk waits, it waits for all levels at once:
// a consumer gets what there is in one go, as if leave were not needed.
func (d *Desk) ask(n uint8, o record.Offset) bool {
	d.askAhead(n, o)
	if o < d.set.Marked(n) {
		return true
	}
	for m := range d.levels {
		if d.maybe[m/64]&(1<<(m%64)) != 0 {
			d.askAhead(uint8(m), d.levels[m].cursor)
		}
	}
	return false
}

// askAhead asks for leave to go beyond o in a level, if there is little left.
func (d *Desk) askAhead(n uint8, o record.Offset) {
	l := &d.levels[n]
	if o+d.ahead/2 >= d.set.Marked(n) && o+d.ahead/2 >= l.asked {
		l.asked = o + d.ahead
		d.out.Marks = append(d.out.Marks, Mark{n, l.asked})
	}
}

// Pace has the desk ask for leave as far ahead as records will be given in a while,
// n, within bounds.
func (d *Desk) Pace(n int64) {
	d.ahead = record.Offset(min(max(n, markAhead), maxAhead))
}

// Die lets the record die.
func (d *Desk) Die(w Want, f Found, why Reason, deadline record.LogTime) {
	d.take(w, f)
	d.groupOut(f.Group, f.Offset) // until it has died, or is not to
	d.sendAway(w.Level, f.Offset)
	d.die(f, why, deadline)
}

// sendAway remembers the level of a record that may come back.
func (d *Desk) sendAway(n uint8, o record.Offset) {
	if n > 0 {
		d.away[o] = n
	}
}

func (d *Desk) die(f Found, why Reason, deadline record.LogTime) {
	d.bytesGone(f.Size)
	d.pending++
	if n := len(d.out.Died); n > 0 {
		last := &d.out.Died[n-1]
		if last.Reason == why && last.Last+1 == f.Offset && last.Last-last.First < maxDeaths-1 {
			last.Last, last.Deadline = f.Offset, max(last.Deadline, deadline)
			return
		}
	}
	d.out.Died = append(d.out.Died, Death{Range{f.Offset, f.Offset}, why, deadline})
}

func (d *Desk) bytesGone(size int32) {
	d.out.Bytes += int64(size)
	d.pendingBytes += int64(size)
}

func (d *Desk) settleRange(r Range, size int32) {
	d.bytesGone(size)
	d.pending += r.Len()
	if n := len(d.out.Settled); n > 0 && d.out.Settled[n-1].Last+1 == r.First {
		d.out.Settled[n-1].Last = r.Last
		return
	}
	d.out.Settled = append(d.out.Settled, r)
}

// Settle carries out a verdict of a holder, and reports whether the lease was
// its. Leases end with the leadership that gave them.
func (d *Desk) Settle(h *Holder, id ID, v Verdict) bool {
	if id.Term != d.term {
		return false
	}
	at := d.leases.find(h, id.Counter)
	if at == 0 {
		return false
	}
	d.judge(d.leases.remove(at), v)
	return true
}

func (d *Desk) judge(l lease, v Verdict) {
	d.leasedBytes -= int64(l.size)
	f := Found{Offset: l.offset, Size: l.size}
	switch {
	case v == Accept:
		d.settleRange(Range{f.Offset, f.Offset}, f.Size)
		d.Gone(f.Offset)
	case v == Reject:
		d.die(f, Rejected, 0)
		d.Gone(f.Offset)
	case v == ReleaseCounted && d.counts():
		d.out.Returned = append(d.out.Returned, Return{f.Offset, l.level})
		d.pending++
	default:
		d.back(l.level, f.Offset, false)
	}
}

// counts reports whether it matters how often a record is given back.
func (d *Desk) counts() bool {
	s := d.set.settings
	return s.DeliveryLimit >= 0 || s.Retry.First > 0 || s.Retry.Attempts > 0
}

// back has a record given again. One that the desk has not come to yet, because it
// was lent by an earlier leader, is met in its turn.
func (d *Desk) back(n uint8, o record.Offset, fresh bool) {
	d.look(n)
	passed := o < d.levels[n].cursor
	if !d.groupBack(o, fresh, passed) && passed {
		d.levels[n].back.add(backItem{o, fresh})
	}
}

// End gives back all that a holder has, counted, and ends its consumers.
func (d *Desk) End(h *Holder) {
	for len(h.consumers) > 0 {
		d.Remove(h.consumers[0])
	}
	for h.first != 0 {
		if fault.On(fault.LoseReturned) {
			d.leases.remove(h.first)
			continue
		}
		d.judge(d.leases.remove(h.first), ReleaseCounted)
	}
}
