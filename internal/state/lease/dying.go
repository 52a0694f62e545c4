package lease

import (
	"cmp"
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
)

// Reason says why a record died.
type Reason uint8

// The reasons.
const (
	Rejected Reason = iota
	Expired
	MaxLength
	DeliveryLimit
	reasons
)

// String returns the reason as RabbitMQ spells it in x-death.
func (r Reason) String() string {
	switch r {
	case Rejected:
		return "rejected"
	case Expired:
		return "expired"
	case MaxLength:
		return "maxlen"
	case DeliveryLimit:
		return "delivery_limit"
	default:
		return "unknown"
	}
}

// Dead is a record that waits to be dead-lettered. The leader publishes them in
// the order of their numbers, which are never reused.
type Dead struct {
	Number   uint64
	Offset   record.Offset
	Reason   Reason
	Attempts int32
}

// dying is the records of a set that wait to be dead-lettered.
type dying struct {
	list []Dead // ascending by number
	next uint64 // the next number, from 1
}

func (d *dying) find(number uint64) (int, bool) {
	return slices.BinarySearchFunc(d.list, number, func(a Dead, n uint64) int { return cmp.Compare(a.Number, n) })
}

// Deaths returns up to n records that wait to be dead-lettered, from the given
// number on. The result aliases the state: it is good until the next command.
func (s *Set) Deaths(from uint64, n int) []Dead {
	i, _ := s.dying.find(from)
	return s.dying.list[i:min(i+n, len(s.dying.list))]
}

// Dead returns the record that died under this number, and false if it no longer
// waits.
func (s *Set) Dead(number uint64) (Dead, bool) {
	i, ok := s.dying.find(number)
	if !ok {
		return Dead{}, false
	}
	return s.dying.list[i], true
}

// Bury settles a record that was dead-lettered; bytes is the size of its body, if
// it is still counted.
func (s *State) Bury(set *Set, number uint64, bytes int64) {
	s.touch(set)
	s.bury(set, number)
	if set.bytes -= bytes; set.bytes < 0 || set.Unsettled() == 0 {
		set.bytes = 0
	}
}

// kill lets a record die: it waits for its dead-letter target, or is settled at
// once if there is none. It reports whether it waits.
func (s *State) kill(set *Set, o record.Offset, why Reason) bool {
	if !set.settings.DeadLetter {
		s.settle(set, o, o)
		return false
	}
	s.touch(set)
	s.dropLoan(set, o)
	set.dying.next++
	d := Dead{Number: set.dying.next, Offset: o, Reason: why, Attempts: set.Attempts(o)}
	s.touchDying(set, d.Number)
	set.dying.list = append(set.dying.list, d)
	s.hold(set, o)
	return true
}

// bury settles a record that was dead-lettered.
func (s *State) bury(set *Set, number uint64) {
	i, ok := set.dying.find(number)
	if !ok {
		return
	}
	s.touchDying(set, number)
	o := set.dying.list[i].Offset
	if i == 0 {
		set.dying.list = set.dying.list[1:]
	} else {
		set.dying.list = slices.Delete(set.dying.list, i, i+1)
	}
	s.settle(set, o, o)
}

// restore keeps the list in order; pages come in any order.
func (d *dying) restore(list []Dead) {
	d.list = append(d.list, list...)
	slices.SortFunc(d.list, func(a, b Dead) int { return cmp.Compare(a.Number, b.Number) })
}
