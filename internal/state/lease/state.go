package lease

import (
	"cmp"
	"maps"
	"slices"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/page"
	"github.com/polylog-mq/polylog/internal/record"
)

// State is the lease sets of a data shard.
type State struct {
	sets map[record.PartitionID]*Set
	// logs are the partitions without a lease set that dead letters have come to.
	logs  map[record.PartitionID]arrivals
	pages *page.Set[pageKey]
	// cut counts the cuts, so that what was touched since the last one is known
	// without a look-up.
	cut uint32
	// ends are the deadlines of loans; endsKept is how many there may be before
	// those that no longer count are looked for.
	ends     loanEnds
	endsKept int

	restoring restoring

	// source reads pages of the durable checkpoint; nil: all stay in memory.
	// fullTTLs are the sets with full pages of times to live in memory.
	source   Source
	fullTTLs map[*Set]struct{}
}

// Source calls yield with the pages of the durable checkpoint whose keys lie
// between two, in order. The slices are valid only during the call.
type Source func(from, to []byte, yield func(key, value []byte) error) error

// New returns the state of a shard without lease sets. With a source it lets go of
// times to live that a durable checkpoint holds.
func New(source Source) *State {
	s := &State{
		sets: map[record.PartitionID]*Set{}, logs: map[record.PartitionID]arrivals{}, cut: 1,
		source: source, fullTTLs: map[*Set]struct{}{},
	}
	s.pages = page.New(s.encodePage)
	return s
}

// Lookup returns the lease set of a partition, nil if it has none.
func (s *State) Lookup(id record.PartitionID) *Set { return s.sets[id] }

// All returns the lease sets in ascending order of their ids.
func (s *State) All() []*Set {
	return slices.SortedFunc(maps.Values(s.sets), func(a, b *Set) int { return cmp.Compare(a.id, b.id) })
}

// Effects collects what commands have done to records, for whoever leads. The
// caller reuses it.
type Effects struct {
	// Back are records to be given again, with the attempts they have.
	Back []Returned
	// Later are records that are held until the delay is over.
	Later []Later
	// Changed are the sets whose floor or number of records changed, each once.
	Changed []*Set
	// Dying are the sets that got records to dead-letter, each once.
	Dying []*Set
	// Gone are records of grouped sets that somebody had, and that nobody will
	// have again: they are settled or dying.
	Gone []Gone
}

// Gone is such a record.
type Gone struct {
	Set    *Set
	Offset record.Offset
}

func (e *Effects) gone(set *Set, o record.Offset) {
	if set.settings.Grouped {
		e.Gone = append(e.Gone, Gone{set, o})
	}
}

// Returned is a record that is to be given again.
type Returned struct {
	Set      *Set
	Offset   record.Offset
	Level    uint8
	Attempts int32
}

// Later is a record to be set free (State.Free) after Delay ms.
type Later struct {
	Set    *Set
	Offset record.Offset
	Level  uint8
	Delay  int64
}

// Reset empties e and keeps its memory.
func (e *Effects) Reset() {
	clear(e.Back)
	clear(e.Later)
	clear(e.Changed)
	clear(e.Dying)
	clear(e.Gone)
	e.Later, e.Gone = e.Later[:0], e.Gone[:0]
	e.Back, e.Changed, e.Dying = e.Back[:0], e.Changed[:0], e.Dying[:0]
}

func note(list []*Set, set *Set) []*Set {
	if slices.Contains(list, set) {
		return list
	}
	return append(list, set)
}

// Define makes a lease set that begins at offset from, or changes the settings of
// the one there is; records keep what held when they were appended. The settings
// are kept.
func (s *State) Define(id record.PartitionID, from record.Offset, settings *Settings) *Set {
	set := s.sets[id]
	if set == nil {
		s.pages.Touch(pageKey{kind: pageRoot, id: id})
		set = &Set{
			cut: s.cut, id: id, floor: from, next: from, chunks: map[uint64]*container{},
			moved: s.arrivalsOf(id),
		}
		s.forgetLog(id)
		s.sets[id] = set
	}
	s.touch(set)
	set.settings = settings
	return set
}

// Drop forgets a partition, whether it has a lease set or not.
func (s *State) Drop(id record.PartitionID) {
	s.forgetLog(id)
	set := s.sets[id]
	if set == nil {
		return
	}
	s.touch(set)
	for _, k := range slices.Sorted(maps.Keys(set.chunks)) {
		s.touchChunk(set, k, set.chunks[k])
	}
	for i := range set.ttls.pages {
		s.touchTTL(set, &set.ttls.pages[i])
	}
	delete(s.fullTTLs, set)
	for i := range set.dying.list {
		s.touchDying(set, set.dying.list[i].Number)
	}
	for _, k := range slices.Sorted(maps.Keys(set.loans.pages)) {
		s.touchLoans(set, k)
	}
	delete(s.sets, id)
}

// Batch is what a set must know of records that were appended.
type Batch struct {
	Range
	// TTL is how long they may wait, in ms, -1 for as long as the settings allow.
	TTL int64
	// Bytes is the size of their bodies, as told.
	Bytes int64
	// Delay is for how many ms they are held, until they are freed; their time to
	// live begins then.
	Delay int64
}

// Append takes records into a set. It allocates nothing in the steady state.
func (s *State) Append(set *Set, b Batch) {
	s.touch(set)
	ttl := set.settings.MessageTTL
	if b.TTL >= 0 && (ttl < 0 || b.TTL < ttl) {
		ttl = b.TTL
	}
	if ttl >= 0 {
		ttl = min(ttl+b.Delay, MaxTime)
	}
	s.noteTTL(set, b.First, ttl)
	set.next = b.Last + 1
	set.bytes += b.Bytes
	for o := b.First; b.Delay > 0 && o <= b.Last; o++ {
		s.hold(set, o)
	}
}

// Apply carries out a report. hold forbids expiry. What concerns a set that is
// gone, or records that are settled, does nothing.
func (s *State) Apply(now record.LogTime, hold bool, r *Report, fx *Effects) {
	for i := range r.Changes {
		if set := s.sets[r.Changes[i].Partition]; set != nil {
			s.change(now, hold, set, &r.Changes[i], fx)
		}
	}
}

func (s *State) change(now record.LogTime, hold bool, set *Set, c *Change, fx *Effects) {
	s.touch(set)
	fx.Changed = note(fx.Changed, set)
	for _, m := range c.Marks {
		set.mark(m)
	}
	for i := range c.Loans {
		s.lend(now, c.Term, set, &c.Loans[i], fx)
	}
	for _, x := range c.Returned {
		s.giveBack(set, x, fx)
	}
	for _, d := range c.Died {
		for o := d.First; o <= min(d.Last, set.next-1); o++ {
			switch {
			case set.Settled(o):
			case d.Reason == Expired && (hold || now < d.Deadline):
				fx.Back = append(fx.Back, Returned{Set: set, Offset: o, Attempts: set.Attempts(o)})
			default:
				if s.kill(set, o, d.Reason) {
					fx.Dying = note(fx.Dying, set)
				}
				fx.gone(set, o)
			}
		}
	}
	if fault.On(fault.LoseSettle) && now%8 == 0 {
		c.Settled = nil
	}
	for _, r := range c.Settled { // last: a purge names whole ranges
		s.settle(set, r.First, r.Last)
	}
	if set.bytes -= c.Bytes; set.bytes < 0 || set.Unsettled() == 0 {
		set.bytes = 0
	}
}

// giveBack counts a return.
func (s *State) giveBack(set *Set, x Return, fx *Effects) {
	o := x.Offset
	if o >= set.next || set.Settled(o) {
		return
	}
	c := s.chunk(set, chunkOf(o))
	if fault.On(fault.ForgetReturn) && o%8 == 0 {
		c.untouch(low(o), low(o))
	}
	n := int32(c.count(low(o)))
	limit := set.settings.DeliveryLimit
	if most := set.settings.Retry.Attempts; most > 0 && (limit < 0 || most-1 < limit) {
		limit = most - 1
	}
	if limit >= 0 && n > limit {
		if s.kill(set, o, DeliveryLimit) {
			fx.Dying = note(fx.Dying, set)
		}
		fx.gone(set, o)
		return
	}
	if delay := set.settings.Retry.delay(o, n); delay > 0 {
		s.hold(set, o)
		fx.Later = append(fx.Later, Later{set, o, x.Level, delay})
		return
	}
	fx.Back = append(fx.Back, Returned{set, o, x.Level, n})
}

// delay returns for how many ms a record waits after its nth return. The jitter
// is a function of the record, so that all replicas agree.
func (r *Retry) delay(o record.Offset, n int32) int64 {
	d := r.First
	for i := int32(1); i < n && d < MaxTime && (r.Cap == 0 || d < r.Cap); i++ {
		d = d * int64(max(r.Factor, 1000)) / 1000
		if r.Factor <= 1000 {
			break
		}
	}
	if d = min(d, MaxTime); r.Cap > 0 {
		d = min(d, r.Cap)
	}
	if r.Jitter > 0 && d > 0 {
		x := (uint64(o)<<16 ^ uint64(n)) * 0x9e3779b97f4a7c15 // Fibonacci hashing spreads what is dense
		spread := d * int64(r.Jitter) / 1000
		d += int64((x>>32)%uint64(2*spread+1)) - spread
	}
	return max(d, min(r.First, 1))
}

// Free lets a record that is held be given again. It reports false if the record
// is settled.
func (s *State) Free(set *Set, o record.Offset) bool {
	if o >= set.next || set.Settled(o) {
		return false
	}
	s.free(set, o)
	return true
}

// SettleBelow settles everything below o.
func (s *State) SettleBelow(set *Set, o record.Offset) {
	s.settle(set, set.floor, o-1)
	if set.Unsettled() == 0 {
		set.bytes = 0
	}
}

// Settle settles one record, whatever becomes of it otherwise.
func (s *State) Settle(set *Set, o record.Offset) { s.settle(set, o, o) }
