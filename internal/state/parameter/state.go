package parameter

import (
	"fmt"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/page"
)

// State is the parameters. It is not safe for concurrent use: it belongs to the
// loop of the metadata group.
type State struct {
	snapshot *Snapshot
	pages    *page.Set[Key]
}

// New returns the state of a new cluster: no parameters. The pages of a
// checkpoint may follow.
func New() *State {
	s := &State{snapshot: &Snapshot{map[Key][]byte{}, map[Key]int64{}}}
	s.pages = page.New(s.encodePage)
	return s
}

// Snapshot returns the parameters as of now.
func (s *State) Snapshot() *Snapshot { return s.snapshot }

// Apply carries out a command, or changes nothing and returns one of the errors
// of this package. It reports whether a parameter was created.
func (s *State) Apply(cmd Command) (created bool, err error) {
	switch cmd := cmd.(type) {
	case *Put:
		if err := cmd.check(); err != nil {
			return false, err
		}
		created = s.snapshot.values[cmd.Key] == nil
		if created && len(s.snapshot.values) >= MaxParameters {
			return false, fmt.Errorf("%w: a cluster has at most %d", ErrTooMany, MaxParameters)
		}
		s.change(cmd.Parameter)
	case *Delete:
		if s.snapshot.values[cmd.Key] == nil {
			return false, fmt.Errorf("%w: '%s'", ErrUnknown, cmd.Name)
		}
		s.change(Parameter{Key: cmd.Key})
	}
	return created, nil
}

func (s *State) change(p Parameter) {
	s.pages.Touch(p.Key)
	s.snapshot = s.snapshot.with(p)
}

// TenantGone takes the parameters of a tenant that was deleted.
func (s *State) TenantGone(tenant string) {
	s.drop(func(k Key) bool { return k.Component != Global && k.Component != UserLimits && k.Tenant == tenant })
}

// UserGone takes the limits of a user who was deleted.
func (s *State) UserGone(user string) {
	s.drop(func(k Key) bool { return k.Component == UserLimits && k.Tenant == user })
}

func (s *State) drop(gone func(Key) bool) {
	for _, p := range s.snapshot.All() {
		if gone(p.Key) {
			s.change(Parameter{Key: p.Key})
		}
	}
}

// Freeze makes the present state the cut of a checkpoint.
func (s *State) Freeze() { s.pages.Freeze() }

// EncodePages emits pages of the cut (a nil value: the page no longer exists)
// until more returns false or all are emitted, and reports whether all are.
func (s *State) EncodePages(emit func(key, value []byte), more func() bool) bool {
	for more() {
		if !s.pages.Next(func(k Key, value []byte) { emit(k.appendTo(nil), value) }) {
			return true
		}
	}
	return false
}

func (s *State) encodePage(dst []byte, k Key) ([]byte, bool) {
	v := s.snapshot.values[k]
	return append(append(dst, pageVersion), v...), v != nil
}

// RestorePage takes one page of a checkpoint into a new state, in any order. Key
// and value are not kept.
func (s *State) RestorePage(key, value []byte) error {
	r := codec.NewReader(key)
	p := Parameter{Key: readKey(&r)}
	switch {
	case len(value) == 0 || value[0] != pageVersion:
		r.Fail("a page of another version")
	default:
		p.Value = append([]byte{}, value[1:]...)
		if err := p.check(); err != nil {
			r.Fail("%v", err)
		}
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("restoring a page of parameters: %w", err)
	}
	s.snapshot = s.snapshot.with(p)
	return nil
}

// Restored ends a restore.
func (s *State) Restored() error { return nil }
