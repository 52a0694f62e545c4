package lease

import (
	"fmt"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// Command is *Report or *Open.
type Command interface {
	// AppendTo appends the logged form, which Decode reads.
	AppendTo(dst []byte) []byte
}

// Report is what the leader has to say of the shard's sets since the last one.
type Report struct{ Changes []Change }

// Change is a Report's part about one set.
type Change struct {
	Partition record.PartitionID
	// Bytes is the size of the bodies of what Settled and Died name.
	Bytes int64
	// Settled records are done with, or were never records for a consumer.
	Settled []Range
	// Returned were given back, counted: each has one more attempt, and is then
	// given again, later, or dies, as the settings say.
	Returned []Return
	// Died are to be dead-lettered, or settled if there is no target.
	Died []Death
	// Marks raise how far deliveries may go.
	Marks []Mark
	// Loans are what becomes of loans, in order, and Term that of the leader who
	// says so.
	Loans []LoanChange
	Term  record.Term

	records int64 // what the desk counts as pending for it
}

// Return gives a record of a level back.
type Return struct {
	Offset record.Offset
	Level  uint8
}

// Death lets records die. With the reason Expired they do so only if log time
// has reached Deadline, and may expire at all at present; otherwise they are
// given back.
type Death struct {
	Range
	Reason   Reason
	Deadline record.LogTime
}

// Open makes a lease set over all that a partition holds, if it has none. The
// shard carries it out, with Define and Append.
type Open struct {
	Partition record.PartitionID
	Settings  *Settings
}

// LoanChange says what becomes of the loan of a record. But for Lend it names the
// loan by Term and Counter, and does nothing if the record has another.
type LoanChange struct {
	What    LoanOp
	Offset  record.Offset
	Term    record.Term
	Counter uint64
	// Verdict is that of Settle.
	Verdict Verdict
	// New is the number of the loan that Lend and Claim make, Owner whose it is,
	// and For for how many ms it is given, negative until it is claimed; Extend
	// says so anew, from now on, and 0 gives the record back.
	New   uint64
	Owner string
	For   int64
	// Level, Group and Size are those of a record that is lent.
	Level uint8
	Group uint64
	Size  int32
	// Idle is for how many ms the owner is taken to have had a claimed record, and
	// Attempts what becomes of the count of its returns.
	Idle     int64
	Attempts int32
}

// LoanOp is what a LoanChange does. The numbers are logged.
type LoanOp uint8

// The changes of loans.
const (
	Lend LoanOp = iota
	Settle
	Extend
	Claim
	Forget // the record was given to a session
	loanOps
)

// What becomes of the count of returns when a record is claimed, if not set to a
// number.
const (
	CountUp   int32 = -1
	CountKeep int32 = -2
)

// The first byte of a logged command. They never change their meaning.
const (
	kindReport = 1
	kindOpen   = 2
	kindLoans  = 3 // a report in which a part about loans ends every change
)

// AppendTo implements Command.
func (c *Open) AppendTo(dst []byte) []byte {
	dst = codec.AppendUvarint(append(dst, kindOpen), c.Partition)
	return codec.AppendBytes(dst, c.Settings.AppendTo(nil))
}

// AppendTo implements Command.
func (c *Report) AppendTo(dst []byte) []byte {
	kind := byte(kindReport)
	if c.lends() {
		kind = kindLoans
	}
	dst = codec.AppendUvarint(append(dst, kind), uint(len(c.Changes)))
	for i := range c.Changes {
		dst = c.Changes[i].appendTo(dst)
		if kind == kindLoans {
			dst = c.Changes[i].appendLoans(dst)
		}
	}
	return dst
}

// lends reports whether anything is said of loans.
func (c *Report) lends() bool {
	return slices.ContainsFunc(c.Changes, func(x Change) bool { return len(x.Loans) > 0 })
}

// appendTo writes offsets as distances from the one before.
func (c *Change) appendTo(dst []byte) []byte {
	dst = codec.AppendUvarint(dst, c.Partition)
	dst = codec.AppendVarint(dst, c.Bytes)
	at := record.Offset(0)
	dst = codec.AppendUvarint(dst, uint(len(c.Settled)))
	for _, r := range c.Settled {
		dst = appendRange(dst, r, &at)
	}
	dst = codec.AppendUvarint(dst, uint(len(c.Returned)))
	for _, x := range c.Returned {
		dst = append(codec.AppendVarint(dst, x.Offset-at), x.Level)
		at = x.Offset
	}
	dst = codec.AppendUvarint(dst, uint(len(c.Died)))
	for _, d := range c.Died {
		dst = appendRange(dst, d.Range, &at)
		dst = codec.AppendVarint(append(dst, byte(d.Reason)), d.Deadline)
	}
	dst = codec.AppendUvarint(dst, uint(len(c.Marks)))
	for _, m := range c.Marks {
		dst = codec.AppendVarint(append(dst, m.Level), m.Below)
	}
	return dst
}

func appendRange(dst []byte, r Range, at *record.Offset) []byte {
	dst = codec.AppendVarint(dst, r.First-*at)
	*at = r.Last
	return codec.AppendVarint(dst, r.Last-r.First)
}

// Decode reads what AppendTo of a command wrote. It keeps nothing of b.
func Decode(b []byte) (Command, error) {
	r := reader{codec.NewReader(b)}
	var cmd Command
	switch kind := r.Byte(); kind {
	case kindReport, kindLoans:
		c := &Report{Changes: make([]Change, r.Count(maxChanges, 6))}
		for i := range c.Changes {
			r.change(&c.Changes[i])
			if kind == kindLoans {
				r.loans(&c.Changes[i])
			}
		}
		if (kind == kindLoans) != c.lends() {
			r.Fail("report kind %d", kind)
		}
		cmd = c
	case kindOpen:
		cmd = &Open{Partition: r.partition(), Settings: r.settings()}
	default:
		r.Fail("command kind %d", kind)
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("decoding a command of lease sets: %w", err)
	}
	return cmd, nil
}

// reader reads commands and pages.
type reader struct{ codec.Reader }

func (r *reader) partition() record.PartitionID {
	return record.PartitionID(r.Uvarint(math.MaxUint64))
}

func (r *reader) offset() record.Offset { return record.Offset(r.Varint(0, math.MaxInt64)) }

func (r *reader) long() int64 { return r.Varint(math.MinInt64, math.MaxInt64) }

func (r *reader) settings() *Settings {
	b := r.Bytes(maxSettings)
	if r.Err() != nil {
		return nil
	}
	s, err := DecodeSettings(b)
	if err != nil {
		r.Fail("%v", err)
	}
	return s
}

// step reads an offset that is told as a distance.
func (r *reader) step(at *record.Offset) record.Offset {
	o := *at + record.Offset(r.Varint(-int64(*at), math.MaxInt64-int64(*at)))
	*at = o
	return o
}

func (r *reader) span(at *record.Offset) Range {
	first := r.step(at)
	last := first + record.Offset(r.Varint(0, math.MaxInt64-int64(first)))
	*at = last
	return Range{first, last}
}

func (r *reader) change(c *Change) {
	c.Partition, c.Bytes = r.partition(), r.long()
	at := record.Offset(0)
	c.Settled = make([]Range, r.Count(maxItems, 2))
	for i := range c.Settled {
		c.Settled[i] = r.span(&at)
	}
	c.Returned = make([]Return, r.Count(maxItems, 2))
	for i := range c.Returned {
		c.Returned[i] = Return{r.step(&at), r.Byte()}
	}
	c.Died = make([]Death, r.Count(maxItems, 4))
	for i := range c.Died {
		d := &c.Died[i]
		d.Range, d.Reason, d.Deadline = r.span(&at), Reason(r.Byte()), record.LogTime(r.long())
		if d.Reason >= reasons || d.Last-d.First >= maxDeaths {
			r.Fail("a death of %d records for reason %d", d.Last-d.First+1, d.Reason)
		}
	}
	c.Marks = make([]Mark, r.Count(256, 2))
	for i := range c.Marks {
		c.Marks[i] = Mark{Level: r.Byte(), Below: r.offset()}
	}
}
