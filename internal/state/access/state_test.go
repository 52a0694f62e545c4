package access

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
)

// TestHashOfRabbitMQ checks a hash from RabbitMQ's documentation.
func TestHashOfRabbitMQ(t *testing.T) {
	hash, err := base64.StdEncoding.DecodeString("kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR")
	if err != nil || !SHA256.matches(hash, "test12") || SHA256.matches(hash, "test13") || SHA512.matches(hash, "test12") {
		t.Errorf("the hash is not that of its password (%v)", err)
	}
	for h := SHA256; h <= MD5; h++ {
		hash := h.HashPassword([4]byte{1, 2, 3, 4}, "p")
		again, err := ParseHashing(h.String())
		if again != h || err != nil || !h.matches(hash, "p") || h.matches(hash, "q") || h.matches(nil, "") {
			t.Errorf("%s: %v", h, err)
		}
	}
	if h, err := ParseHashing(""); h != SHA256 || err != nil {
		t.Error(h, err)
	}
	if _, err := ParseHashing("rot13"); !errors.Is(err, ErrInvalidUser) {
		t.Error(err)
	}
}

// world is a state under test with its checkpoint.
type world struct {
	t   *testing.T
	s   *State
	cut map[string][]byte
}

func (w *world) apply(cmd Command) error {
	w.t.Helper()
	again, err := DecodeCommand(cmd.AppendTo(nil))
	if err != nil || !bytes.Equal(again.AppendTo(nil), cmd.AppendTo(nil)) {
		w.t.Fatalf("%+v is read back as %+v: %v", cmd, again, err)
	}
	_, err = w.s.Apply(again)
	w.restart()
	return err
}

// restart goes on with what a checkpoint has kept.
func (w *world) restart() {
	w.t.Helper()
	before := fmt.Sprintf("%+v", describe(w.s))
	w.s.Freeze()
	w.s.EncodePages(func(key, value []byte) {
		if value == nil {
			delete(w.cut, string(key))
			return
		}
		w.cut[string(key)] = value
	}, func() bool { return true })
	s := New()
	for key, value := range w.cut {
		if err := s.RestorePage([]byte(key), value); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := s.Restored(); err != nil {
		w.t.Fatal(err)
	}
	if after := fmt.Sprintf("%+v", describe(s)); after != before {
		w.t.Fatalf("after a restart\n%s\nbefore\n%s", after, before)
	}
	w.s = s
}

func describe(s *State) (out []string) {
	for _, u := range s.Snapshot().Users() {
		line := fmt.Sprintf("%s %s %x %v", u.Name, u.Hashing, u.Hash, u.Tags)
		for _, p := range u.Permissions {
			line += fmt.Sprintf(" [%s %s %s %s]", p.Tenant, p.Configure, p.Write, p.Read)
		}
		for _, p := range u.Topics {
			line += fmt.Sprintf(" (%s %s %s %s)", p.Tenant, p.Exchange, p.Write, p.Read)
		}
		out = append(out, line)
	}
	return out
}

func newWorld(t *testing.T) *world { return &world{t: t, s: New(), cut: map[string][]byte{}} }

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestGuest(t *testing.T) {
	w := newWorld(t)
	w.restart() // nothing is stored yet
	s := w.s.Snapshot()
	if !s.Authenticate("guest", "guest", true) || s.Authenticate("guest", "guest", false) || s.Authenticate("guest", "", true) || s.Authenticate("nobody", "guest", true) {
		t.Error("guest is let in by password and from this machine alone")
	}
	if !s.MayEnter("guest", "") || s.MayEnter("guest", "acme") || s.MayEnter("nobody", "") {
		t.Error("guest may enter the default tenant alone")
	}
	must(t, w.apply(&DeleteUser{"guest"}))
	if w.s.Snapshot().User("guest") != nil || len(w.s.Snapshot().Users()) != 0 {
		t.Error("guest was deleted and is there")
	}
	if err := w.apply(&DeleteUser{"guest"}); !errors.Is(err, ErrUnknownUser) {
		t.Error(err)
	}
}

func TestPermissions(t *testing.T) {
	w := newWorld(t)
	must(
		t, w.apply(&PutUser{Name: "app", Hashing: SHA256, Hash: SHA256.HashPassword([4]byte{7}, "secret"), Tags: []string{"monitoring"}}),
		w.apply(&SetPermission{User: "app", Configure: "^app-", Write: "^app-|^amq\\.default$", Read: ""}),
		w.apply(&SetPermission{User: "app", Tenant: "acme", Configure: ".*", Write: ".*", Read: ".*"}),
		w.apply(&SetTopicPermission{User: "app", Exchange: "app-events", Write: "^eu\\.", Read: ".*"}),
	)
	s := w.s.Snapshot()
	if !s.Authenticate("app", "secret", false) || s.Authenticate("app", "Secret", false) {
		t.Error("the password")
	}
	who := Principal{Name: "app"}
	for _, c := range []struct {
		a    Action
		r    Resource
		want string
	}{
		{Create, Resource{Type: Topic, Name: "app-1"}, ""},
		{Create, Resource{Type: Topic, Name: "other"}, "configure access to queue 'other' in vhost '/' refused for user 'app'"},
		{Delete, Resource{Type: Exchange, Name: "x"}, "configure access to exchange 'x' in vhost '/' refused for user 'app'"},
		{Produce, Resource{Type: Exchange, Name: ""}, ""},
		{Produce, Resource{Type: Exchange, Name: "amq.topic"}, "write access to exchange 'amq.topic' in vhost '/' refused for user 'app'"},
		{Consume, Resource{Type: Topic, Name: "app-1"}, "read access to queue 'app-1' in vhost '/' refused for user 'app'"},
		{Describe, Resource{Type: Topic, Name: "app-1"}, ""},
		{Describe, Resource{Type: Topic, Name: "other"}, "describe access to queue 'other' in vhost '/' refused for user 'app'"},
		{Consume, Resource{Tenant: "acme", Type: Topic, Name: "any"}, ""},
		{Consume, Resource{Tenant: "none", Type: Topic, Name: "any"}, "read access to queue 'any' in vhost 'none' refused for user 'app'"},
		{Admin, Resource{Type: Cluster}, "admin access to cluster '' in vhost '/' refused for user 'app'"},
	} {
		err := s.Authorize(who, c.a, c.r)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrDenied) || err.Error() != c.want) {
			t.Errorf("%s %s: %v, want %s", c.a, c.r, err, c.want)
		}
	}
	if s.Authorize(Principal{Name: "guest"}, Admin, Resource{Type: Cluster}) != nil || s.Authorize(Principal{Name: "nobody"}, Consume, Resource{Type: Topic}) == nil {
		t.Error("the administrator may, somebody unknown may not")
	}
	x := Resource{Type: Exchange, Name: "app-events"}
	if s.AuthorizeKey(who, Produce, x, "eu.paid") != nil || s.AuthorizeKey(who, Produce, x, "us.paid") == nil || s.AuthorizeKey(who, Consume, x, "us.paid") != nil ||
		s.AuthorizeKey(who, Produce, Resource{Type: Exchange, Name: "app-2"}, "us.paid") != nil {
		t.Error("the keys of a topic exchange")
	}
	if n := testing.AllocsPerRun(100, func() { _ = s.Authorize(who, Create, Resource{Type: Topic, Name: "app-1"}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	must(
		t, w.apply(&PutUser{Name: "app", KeepHash: true, Tags: []string{AdministratorTag}}),
		w.apply(&ClearPermission{User: "app"}), w.apply(&ClearTopicPermission{User: "app"}),
	)
	s = w.s.Snapshot()
	if u := s.User("app"); !s.Authenticate("app", "secret", false) || !u.HasTag(AdministratorTag) || s.MayEnter("app", "") || len(u.Topics) != 0 {
		t.Errorf("after the changes: %v", describe(w.s))
	}
	w.s.TenantGone("acme")
	w.restart()
	if w.s.Snapshot().MayEnter("app", "acme") {
		t.Error("it may enter a tenant that is gone")
	}
}

func TestRefusedCommands(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		cmd  Command
		want error
	}{
		{&PutUser{Name: ""}, ErrInvalidUser},
		{&PutUser{Name: "\xff"}, ErrInvalidUser},
		{&PutUser{Name: "u", Hashing: SHA256, Hash: []byte("short")}, ErrInvalidUser},
		{&PutUser{Name: "u", Tags: make([]string, MaxTags+1)}, ErrTooMany},
		{&SetPermission{User: "nobody"}, ErrUnknownUser},
		{&SetPermission{User: "guest", Read: "("}, ErrInvalidPattern},
		{&SetTopicPermission{User: "guest", Exchange: "x", Write: "(?=x)"}, ErrInvalidPattern},
		{&ClearPermission{User: "nobody"}, ErrUnknownUser},
		{&ClearTopicPermission{User: "nobody"}, ErrUnknownUser},
	} {
		before := describe(w.s)
		if err := w.apply(c.cmd); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.cmd, err, c.want)
		}
		if !slices.Equal(before, describe(w.s)) {
			t.Errorf("%+v was refused and has changed something", c.cmd)
		}
	}
}

// TestFormat has the bytes of docs/format/access.md.
func TestFormat(t *testing.T) {
	w := newWorld(t)
	put := &PutUser{Name: "u", Hashing: MD5, Hash: MD5.HashPassword([4]byte{1, 2, 3, 4}, "p"), Tags: []string{"t"}}
	must(t, w.apply(put), w.apply(&SetPermission{"u", "acme", "c", "w", "r"}), w.apply(&SetTopicPermission{"u", "", "x", "w", "r"}))
	for _, c := range []struct {
		cmd  Command
		want string
	}{
		{put, "0101750314010203042902b24795b4d847e835d38b1a3d87ce00010174"},
		{&DeleteUser{"u"}, "020175"},
		{&SetPermission{"u", "acme", "c", "w", "r"}, "0301750461636d65016301770172"},
		{&ClearPermission{"u", "acme"}, "0401750461636d65"},
		{&SetTopicPermission{"u", "", "x", "w", "r"}, "05017500017801770172"},
		{&ClearTopicPermission{"u", "", "x"}, "060175000178"},
	} {
		if got := hex.EncodeToString(c.cmd.AppendTo(nil)); got != c.want {
			t.Errorf("%+v is logged as %s, want %s", c.cmd, got, c.want)
		}
	}
	var pages string
	for _, key := range slices.Sorted(maps.Keys(w.cut)) {
		pages += fmt.Sprintf("%x %x\n", key, w.cut[key])
	}
	if want := "72 01\n" +
		"756775657374 01012400000000f12843c6b78d8e830014622739282a8a106d7881a768862e47bb77e1552b3271010d61646d696e6973747261746f720100022e2a022e2a022e2a00\n" +
		"7575 010314010203042902b24795b4d847e835d38b1a3d87ce010174010461636d650163017701720100017801770172\n"; pages != want {
		t.Errorf("pages are\n%s", pages)
	}
}

func FuzzCommand(f *testing.F) {
	f.Add((&PutUser{Name: "u", Hashing: SHA256, Hash: SHA256.HashPassword([4]byte{1}, "p"), Tags: []string{"t"}}).AppendTo(nil))
	f.Add((&SetPermission{"guest", "acme", "c", "w", "r"}).AppendTo(nil))
	f.Add((&SetTopicPermission{"guest", "", "x", "w", "r"}).AppendTo(nil))
	f.Add((&ClearTopicPermission{"guest", "", "x"}).AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		cmd, err := DecodeCommand(b)
		if err != nil {
			return
		}
		w := newWorld(t)
		_ = w.apply(cmd)
	})
}

func FuzzPage(f *testing.F) {
	f.Add([]byte("r"), []byte{1})
	f.Add([]byte("uguest"), []byte("\x01\x01\x00\x00\x01\x00\x02.*\x02.*\x02.*\x00"))
	f.Fuzz(func(_ *testing.T, key, value []byte) {
		s := New()
		if s.RestorePage(key, value) == nil {
			_ = s.Restored()
			s.Snapshot().Users()
		}
	})
}
