package parameter

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
)

// world is a state under test with its checkpoint.
type world struct {
	t   *testing.T
	s   *State
	cut map[string][]byte
}

// apply carries out a command as a log would have it, and goes on with what a
// checkpoint has kept.
func (w *world) apply(cmd Command) (created bool, err error) {
	w.t.Helper()
	again, err := DecodeCommand(cmd.AppendTo(nil))
	if err != nil || !bytes.Equal(again.AppendTo(nil), cmd.AppendTo(nil)) {
		w.t.Fatalf("%+v is read back as %+v: %v", cmd, again, err)
	}
	created, err = w.s.Apply(again)
	w.restart()
	return created, err
}

func (w *world) restart() {
	w.t.Helper()
	before := w.String()
	w.s.Freeze()
	w.s.EncodePages(func(key, value []byte) {
		if value == nil {
			delete(w.cut, string(key))
			return
		}
		w.cut[string(key)] = bytes.Clone(value)
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
	w.s = s
	if after := w.String(); after != before {
		w.t.Fatalf("after a restart\n%s\nbefore\n%s", after, before)
	}
}

// String lists what there is, limits with what they limit to.
func (w *world) String() string {
	var all []string
	for _, p := range w.s.Snapshot().All() {
		text := fmt.Sprintf("%s|%s|%s=%s", p.Component, p.Tenant, p.Name, p.Value)
		if n, ok := w.s.Snapshot().Limit(p.Key); ok {
			text += fmt.Sprintf(" (%d)", n)
		}
		all = append(all, text)
	}
	return strings.Join(all, "\n")
}

func (w *world) holds(want ...string) {
	w.t.Helper()
	if got := w.String(); got != strings.Join(want, "\n") {
		w.t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func put(component, tenant, name, value string) *Put {
	return &Put{Parameter{Key{component, tenant, name}, []byte(value)}}
}

func TestParameters(t *testing.T) {
	w := &world{t: t, s: New(), cut: map[string][]byte{}}
	for i, c := range []struct {
		cmd     Command
		created bool
		err     error
	}{
		{put(Global, "", "cluster_name", `"one"`), true, nil},
		{put(Global, "", "cluster_name", `"two"`), false, nil},
		{put("mine", "v", "p", `{"a":[1,null]}`), true, nil},
		{put("mine", "w", "p", `null`), true, nil},
		{put("mine", "v", "q", `{`), false, ErrInvalid},
		{put("mine", "v", "", `1`), false, ErrInvalid},
		{put("mine", strings.Repeat("v", 256), "p", `1`), false, ErrInvalid},
		{put("mine", "v", "big", `"`+strings.Repeat("x", MaxValueLen)+`"`), false, ErrInvalid},
		{put(TenantLimits, "v", MaxQueues, `3`), true, nil},
		{put(TenantLimits, "v", MaxConnections, `-1`), true, nil},
		{put(TenantLimits, "v", MaxChannels, `3`), false, ErrInvalid},
		{put(TenantLimits, "v", MaxQueues, `"many"`), false, ErrInvalid},
		{put(TenantLimits, "v", MaxQueues, `1.5`), false, ErrInvalid},
		{put(UserLimits, "v", MaxChannels, `0`), true, nil},
		{put(UserLimits, "v", MaxQueues, `0`), false, ErrInvalid},
		{&Delete{Key{"mine", "v", "q"}}, false, ErrUnknown},
		{&Delete{Key{"mine", "", "p"}}, false, ErrUnknown},
	} {
		if created, err := w.apply(c.cmd); created != c.created || !errors.Is(err, c.err) {
			t.Errorf("%d: %v, %v; want %v, %v", i, created, err, c.created, c.err)
		}
	}
	w.holds(`||cluster_name="two"`, `mine|v|p={"a":[1,null]}`, `mine|w|p=null`,
		`user-limits|v|max-channels=0 (0)`, `vhost-limits|v|max-connections=-1`, `vhost-limits|v|max-queues=3 (3)`)

	w.s.TenantGone("v")
	w.restart()
	w.holds(`||cluster_name="two"`, `mine|w|p=null`, `user-limits|v|max-channels=0 (0)`)
	w.s.UserGone("v")
	w.s.TenantGone("")
	if _, err := w.apply(&Delete{Key{"mine", "w", "p"}}); err != nil {
		t.Error(err)
	}
	w.holds(`||cluster_name="two"`)
}

func TestAtMostSoMany(t *testing.T) {
	s := New()
	next := &Snapshot{maps.Clone(s.snapshot.values), map[Key]int64{}}
	for i := range MaxParameters {
		next.values[Key{Name: fmt.Sprint(i)}] = []byte("1")
	}
	s.snapshot = next
	if _, err := s.Apply(put("", "", "new", "1")); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
	if _, err := s.Apply(put("", "", "7", "2")); err != nil {
		t.Error(err)
	}
}

// FuzzDecode: whatever is logged or checkpointed is read or refused.
func FuzzDecode(f *testing.F) {
	f.Add(put(TenantLimits, "v", MaxQueues, `3`).AppendTo(nil), []byte("1"))
	f.Add((&Delete{Key{"c", "t", "n"}}).AppendTo(nil), []byte{pageVersion, '1'})
	f.Fuzz(func(t *testing.T, command, page []byte) {
		if cmd, err := DecodeCommand(command); err == nil {
			s := New()
			if _, err := s.Apply(cmd); err == nil && !bytes.Equal(cmd.AppendTo(nil), command) {
				if _, err := DecodeCommand(cmd.AppendTo(nil)); err != nil {
					t.Error(err)
				}
			}
		}
		_ = New().RestorePage(command, page)
	})
}
