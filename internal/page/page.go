// Package page tracks which bounded pieces ("pages") of a state machine changed
// since its last checkpoint, so that a checkpoint costs what changed and not
// what exists (DESIGN §4 "Checkpoints").
//
// A cut freezes the pages that are dirty at one instant. Writing them out may
// then take its time: the first later change to a frozen page encodes it
// first, so what is written is exactly the state at the cut.
package page

// Set tracks the pages of one kind, named by K. It is not safe for concurrent
// use: it belongs to the loop that owns the state.
type Set[K comparable] struct {
	encode  func(dst []byte, k K) ([]byte, bool)
	dirty   map[K]struct{}
	touched []K // the keys of dirty in the order of their first change
	frozen  map[K]struct{}
	order   []K // the keys of frozen, those already written included
	done    []encoded[K]
}

type encoded[K comparable] struct {
	key   K
	value []byte
}

// New returns an empty set. The function encode appends page k's present
// content to dst and reports whether the page exists; a page that does not
// exist is deleted from the checkpoint.
func New[K comparable](encode func(dst []byte, k K) (value []byte, exists bool)) *Set[K] {
	return &Set[K]{encode: encode, dirty: map[K]struct{}{}, frozen: map[K]struct{}{}}
}

// Touch must be called before every change to page k.
func (s *Set[K]) Touch(k K) {
	if _, ok := s.frozen[k]; ok {
		s.write(k)
	}
	if _, ok := s.dirty[k]; !ok {
		s.dirty[k] = struct{}{}
		s.touched = append(s.touched, k)
	}
}

// Freeze makes the present moment the cut. The previous cut must have been
// written out.
func (s *Set[K]) Freeze() {
	if len(s.frozen) > 0 || len(s.done) > 0 {
		panic("page: a cut was begun before the previous one was written")
	}
	s.dirty, s.frozen = s.frozen, s.dirty
	s.touched, s.order = s.order[:0], s.touched
}

// Next hands out one page as it was at the cut and reports whether there was
// one. A nil value means that the page no longer existed. The value belongs to
// the caller. The order is a function of the calls made, never of chance.
func (s *Set[K]) Next(emit func(k K, value []byte)) bool {
	if n := len(s.done); n > 0 {
		e := s.done[n-1]
		s.done = s.done[:n-1]
		emit(e.key, e.value)
		return true
	}
	for n := len(s.order); n > 0; n = len(s.order) {
		k := s.order[n-1]
		s.order = s.order[:n-1]
		if _, ok := s.frozen[k]; ok {
			s.write(k)
			return s.Next(emit)
		}
	}
	return false
}

func (s *Set[K]) write(k K) {
	delete(s.frozen, k)
	v, ok := s.encode([]byte{}, k)
	if !ok {
		v = nil
	}
	s.done = append(s.done, encoded[K]{k, v})
}
