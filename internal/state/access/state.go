package access

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/page"
)

// State is the users and what they may do. It is not safe for concurrent use: it
// belongs to the loop of the metadata group. What Snapshot returns, and the users
// in it, never change and may be handed to any goroutine.
type State struct {
	snapshot *Snapshot
	pages    *page.Set[string]
	// stored says that the checkpoint has the users; before the first change there
	// is only the default one.
	stored bool
}

// New returns the state of a new cluster: the default user, who may do
// everything. The pages of a checkpoint may follow.
func New() *State {
	s := &State{snapshot: &Snapshot{users: map[string]*User{GuestName: guest()}}}
	s.pages = page.New(s.encodePage)
	return s
}

// Snapshot returns the users as of now.
func (s *State) Snapshot() *Snapshot { return s.snapshot }

// Apply carries out a command, or changes nothing and returns one of the errors
// of this package. It reports whether a user was created.
func (s *State) Apply(cmd Command) (created bool, err error) {
	switch cmd := cmd.(type) {
	case *PutUser:
		return s.putUser(cmd)
	case *DeleteUser:
		if s.snapshot.users[cmd.Name] == nil {
			return false, unknown(cmd.Name)
		}
		s.change(cmd.Name, nil)
	case *SetPermission:
		return false, s.setPermission(cmd)
	case *ClearPermission:
		return false, s.alter(cmd.User, func(u *User) error {
			u.Permissions = slices.DeleteFunc(slices.Clone(u.Permissions), func(p Permission) bool { return p.Tenant == cmd.Tenant })
			return nil
		})
	case *SetTopicPermission:
		return false, s.setTopicPermission(cmd)
	case *ClearTopicPermission:
		return false, s.alter(cmd.User, func(u *User) error {
			u.Topics = slices.DeleteFunc(slices.Clone(u.Topics), func(p TopicPermission) bool {
				return p.Tenant == cmd.Tenant && (cmd.Exchange == "" || p.Exchange == cmd.Exchange)
			})
			return nil
		})
	}
	return false, nil
}

func unknown(name string) error { return fmt.Errorf("%w: '%s'", ErrUnknownUser, name) }

// change replaces a user, or takes it away if next is nil.
func (s *State) change(name string, next *User) {
	if !s.stored { // from now on the checkpoint says who there is
		s.stored = true
		s.pages.Touch("")
		for _, other := range slices.Sorted(maps.Keys(s.snapshot.users)) {
			s.pages.Touch(other)
		}
	}
	s.pages.Touch(name)
	users := maps.Clone(s.snapshot.users)
	if users[name] = next; next == nil {
		delete(users, name)
	}
	s.snapshot = &Snapshot{users: users}
}

// alter changes a copy of a user.
func (s *State) alter(name string, fn func(*User) error) error {
	old := s.snapshot.users[name]
	if old == nil {
		return unknown(name)
	}
	u := *old
	if err := fn(&u); err != nil {
		return err
	}
	s.change(name, &u)
	return nil
}

func (s *State) putUser(cmd *PutUser) (created bool, err error) {
	old := s.snapshot.users[cmd.Name]
	u := &User{Name: cmd.Name, Hashing: cmd.Hashing, Hash: cmd.Hash, Tags: cmd.Tags}
	if old != nil {
		u.Permissions, u.Topics = old.Permissions, old.Topics
		if cmd.KeepHash {
			u.Hashing, u.Hash = old.Hashing, old.Hash
		}
	}
	if err := u.check(); err != nil {
		return false, err
	}
	if old == nil && len(s.snapshot.users) >= MaxUsers {
		return false, fmt.Errorf("%w: a cluster has at most %d users", ErrTooMany, MaxUsers)
	}
	s.change(cmd.Name, u)
	return old == nil, nil
}

func (s *State) setPermission(cmd *SetPermission) error {
	p := Permission{Tenant: cmd.Tenant}
	err := compile(&p.Configure, cmd.Configure, &p.Write, cmd.Write, &p.Read, cmd.Read)
	if err != nil {
		return err
	}
	return s.alter(cmd.User, func(u *User) error {
		u.Permissions, err = put(u.Permissions, p, func(a, b Permission) int { return cmp.Compare(a.Tenant, b.Tenant) })
		return err
	})
}

func (s *State) setTopicPermission(cmd *SetTopicPermission) error {
	p := TopicPermission{Tenant: cmd.Tenant, Exchange: cmd.Exchange}
	var nothing Pattern
	err := compile(&p.Write, cmd.Write, &p.Read, cmd.Read, &nothing, "")
	if err != nil {
		return err
	}
	return s.alter(cmd.User, func(u *User) error {
		u.Topics, err = put(u.Topics, p, func(a, b TopicPermission) int {
			return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Exchange, b.Exchange))
		})
		return err
	})
}

// compile compiles three expressions.
func compile(a *Pattern, textA string, b *Pattern, textB string, c *Pattern, textC string) (err error) {
	for _, x := range [...]struct {
		to   *Pattern
		text string
	}{{a, textA}, {b, textB}, {c, textC}} {
		if *x.to, err = NewPattern(x.text); err != nil {
			return err
		}
	}
	return nil
}

// put returns a sorted list with an element added or replaced.
func put[P any](list []P, p P, compare func(a, b P) int) ([]P, error) {
	list = slices.Clone(list)
	i, found := slices.BinarySearchFunc(list, p, compare)
	switch {
	case found:
		list[i] = p
	case len(list) >= MaxPermissions:
		return nil, fmt.Errorf("%w: a user has at most %d permissions", ErrTooMany, MaxPermissions)
	default:
		list = slices.Insert(list, i, p)
	}
	return list, nil
}

// TenantGone takes what users may do in a tenant that was deleted.
func (s *State) TenantGone(tenant string) {
	for _, u := range s.snapshot.Users() {
		next := *u
		next.Permissions = slices.DeleteFunc(slices.Clone(u.Permissions), func(p Permission) bool { return p.Tenant == tenant })
		next.Topics = slices.DeleteFunc(slices.Clone(u.Topics), func(p TopicPermission) bool { return p.Tenant == tenant })
		if len(next.Permissions) != len(u.Permissions) || len(next.Topics) != len(u.Topics) {
			s.change(u.Name, &next)
		}
	}
}

// Freeze makes the present state the cut of a checkpoint.
func (s *State) Freeze() { s.pages.Freeze() }

// The kinds of pages, which are part of the checkpoint's format.
const (
	pageRoot = 'r' // says that the checkpoint has the users
	pageUser = 'u' // a user, by name
)

// EncodePages emits pages of the cut (a nil value: the page no longer exists)
// until more returns false or all are emitted, and reports whether all are.
func (s *State) EncodePages(emit func(key, value []byte), more func() bool) bool {
	for more() {
		if !s.pages.Next(func(name string, value []byte) {
			if name == "" {
				emit([]byte{pageRoot}, value)
				return
			}
			emit(append([]byte{pageUser}, name...), value)
		}) {
			return true
		}
	}
	return false
}

func (s *State) encodePage(dst []byte, name string) ([]byte, bool) {
	dst = append(dst, pageVersion)
	if name == "" {
		return dst, true
	}
	u := s.snapshot.users[name]
	if u == nil {
		return dst, false
	}
	dst = codec.AppendBytes(append(dst, byte(u.Hashing)), u.Hash)
	dst = appendTags(dst, u.Tags)
	dst = codec.AppendUvarint(dst, uint(len(u.Permissions)))
	for i := range u.Permissions {
		p := &u.Permissions[i]
		for _, text := range [...]string{p.Tenant, p.Configure.text, p.Write.text, p.Read.text} {
			dst = codec.AppendBytes(dst, text)
		}
	}
	dst = codec.AppendUvarint(dst, uint(len(u.Topics)))
	for i := range u.Topics {
		p := &u.Topics[i]
		for _, text := range [...]string{p.Tenant, p.Exchange, p.Write.text, p.Read.text} {
			dst = codec.AppendBytes(dst, text)
		}
	}
	return dst, true
}

// RestorePage takes one page of a checkpoint into a new state, in any order. Key
// and value are not kept.
func (s *State) RestorePage(key, value []byte) error {
	if !s.stored {
		s.stored = true
		s.snapshot = &Snapshot{users: map[string]*User{}}
	}
	r := codec.NewReader(value)
	if v := r.Byte(); v != pageVersion {
		r.Fail("a page of version %d", v)
	}
	switch {
	case bytes.Equal(key, []byte{pageRoot}):
	case len(key) > 1 && key[0] == pageUser:
		if u := readUser(&r, string(key[1:])); r.Err() == nil {
			s.snapshot.users[u.Name] = u
		}
	default:
		r.Fail("the key is that of no page")
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("page %q of users: %w", key, err)
	}
	return nil
}

func readUser(r *codec.Reader, name string) *User {
	u := &User{Name: name, Hashing: Hashing(r.Byte()), Hash: append([]byte(nil), r.Bytes(maxHashLen)...), Tags: readTags(r)}
	var err error
	for range r.Count(MaxPermissions, 4) {
		p := Permission{Tenant: readText(r)}
		if err == nil {
			err = compile(&p.Configure, readText(r), &p.Write, readText(r), &p.Read, readText(r))
		}
		u.Permissions = append(u.Permissions, p)
	}
	for range r.Count(MaxPermissions, 4) {
		p := TopicPermission{Tenant: readText(r), Exchange: readText(r)}
		var nothing Pattern
		if err == nil {
			err = compile(&p.Write, readText(r), &p.Read, readText(r), &nothing, "")
		}
		u.Topics = append(u.Topics, p)
	}
	if err == nil {
		err = u.check()
	}
	if err != nil {
		r.Fail("user %q: %v", name, err)
	}
	return u
}

// Restored ends a restore.
func (s *State) Restored() error { return nil }
