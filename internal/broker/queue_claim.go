package broker

import (
	"fmt"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/lease"
)

// What becomes of the count of returns of a record that is claimed, if it is not
// set to a number.
const (
	CountUp   = lease.CountUp
	CountKeep = lease.CountKeep
)

// ClaimSpec says what a Claim takes from whom.
type ClaimSpec struct {
	// Owner is who has the records from now on, For for how many ms: negative
	// until they are settled or claimed again.
	Owner string
	For   int64
	// Offsets are the records to claim. If it is nil, all from From on are looked
	// at, until Max were claimed or Look were looked at.
	Offsets   []record.Offset
	From      record.Offset
	Max, Look int
	// MinIdle claims only what an owner has had for so many ms.
	MinIdle int64
	// Idle is for how many ms the new owner is taken to have had the records,
	// Attempts what becomes of the count of returns: CountUp, CountKeep or a
	// number.
	Idle     int64
	Attempts int32
	// IDs asks for the offsets alone: the records have no bytes.
	IDs bool
	// Done is called once, on the shard's loop. It must not block.
	Done func(Claimed, error)
}

// Claimed is what a Claim has got.
type Claimed struct {
	// Deliveries are the records, whose bytes belong to the caller.
	Deliveries []Delivery
	// Gone are records that were leased and no longer exist: they are settled.
	Gone []record.Offset
	// Next is the offset from which on to look further, -1 if there is nothing
	// more.
	Next record.Offset
}

// Claim hands records that are leased to nobody's session to another owner, also
// those whose time has passed and which nobody has yet. Errors are those of
// Receive.
func (q *Queue) Claim(spec *ClaimSpec) {
	if spec.For > lease.MaxTime || spec.Idle < 0 || spec.Attempts < CountKeep || len(spec.Owner) > maxOwner ||
		len(spec.Offsets) > maxReceive || spec.Offsets == nil && (spec.Max < 1 || spec.Max > maxReceive) {
		spec.Done(Claimed{}, fmt.Errorf("%w: claiming records for %q", ErrInvalidArgument, spec.Owner))
		return
	}
	q.onLedDesk(func(err error) { spec.Done(Claimed{}, err) }, func(d *desk) {
		c := &claim{d: d, spec: spec, found: map[record.Offset]*fetched{}}
		c.choose()
		if spec.IDs {
			c.take()
			return
		}
		d.q.s.b.background.run(func() {
			err := c.read()
			d.q.s.group.Post(func() {
				switch {
				case d.closed:
					spec.Done(Claimed{}, ErrNotLeader)
				case err != nil:
					spec.Done(Claimed{}, err)
				default:
					c.take()
				}
			})
		})
	})
}

// claim is a Claim under way.
type claim struct {
	d    *desk
	spec *ClaimSpec
	// chosen are the leases that it wants, found the records that exist.
	chosen []LeaseID
	found  map[record.Offset]*fetched
	next   record.Offset
}

// choose picks the leases.
func (c *claim) choose() {
	set, looked := c.d.Set(), 0
	c.next = -1
	for _, o := range c.spec.Offsets {
		if l := set.Loan(o); l != nil && c.idle(l) {
			c.chosen = append(c.chosen, l.ID)
		}
	}
	if c.spec.Offsets != nil {
		return
	}
	set.Loans(c.spec.From, func(l *lease.Loan) bool {
		if len(c.chosen) == c.spec.Max || c.spec.Look > 0 && looked == c.spec.Look {
			c.next = l.Offset
			return false
		}
		if looked++; c.idle(l) {
			c.chosen = append(c.chosen, l.ID)
		}
		return true
	})
}

func (c *claim) idle(l *lease.Loan) bool { return int64(c.d.q.time()-l.Since) >= c.spec.MinIdle }

// read reads the records, on any goroutine.
func (c *claim) read() error {
	var r reading
	defer r.forget()
	for _, id := range c.chosen {
		f, known := r.seek(id.Offset)
		if !known {
			r.forget()
			l := loading{from: id.Offset, limit: c.d.part.HighWatermark(), size: 1}
			if err := l.into(&r, c.d.part); err != nil {
				return err
			}
			f, _ = r.seek(id.Offset)
		}
		if f != nil && f.record.Offset == id.Offset {
			c.found[id.Offset] = &fetched{record: f.record.Clone(), time: f.time, level: f.level}
		}
	}
	return nil
}

// take hands over what nobody else has taken meanwhile.
func (c *claim) take() {
	d := c.d
	got := Claimed{Next: c.next}
	var ds []Delivery
	for _, id := range c.chosen {
		l := d.Set().Loan(id.Offset)
		if l == nil || l.ID != id {
			continue
		}
		x := Delivery{Record: record.Record{Offset: id.Offset}, Redelivered: true, Level: l.Level}
		if f := c.found[id.Offset]; f != nil {
			x.Record = f.record
		} else if !c.spec.IDs {
			d.SettleLoan(id, Accept, false)
			got.Gone = append(got.Gone, id.Offset)
			continue
		}
		g, ok := d.Claim(l, lease.LoanChange{
			Owner: c.spec.Owner, For: c.spec.For, Idle: c.spec.Idle, Attempts: c.spec.Attempts,
		})
		if ok {
			x.Lease, x.Attempts = g.Lease, g.Attempts
			ds = append(ds, x)
		}
	}
	if len(ds)+len(got.Gone) == 0 {
		c.spec.Done(got, nil)
		return
	}
	d.handing.add(&handing{deliveries: ds, then: func(kept []Delivery, err error) {
		got.Deliveries = kept
		c.spec.Done(got, err)
	}})
	d.workNow()
}
