package txn

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/internal/due"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/script"
)

// TestScripts runs testdata/*.txt. A block may have several commands, one a line;
// "scenario NAME" begins anew. Every command goes through its encoding, and after
// each the state is saved and loaded again, and must be the same.
func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func(t *testing.T) func(*script.Command) string {
		h := newHarness(t)
		return func(c *script.Command) string {
			var out strings.Builder
			for _, line := range append([]string{c.Text}, c.Body...) {
				if strings.HasPrefix(line, "scenario ") {
					h = newHarness(t)
					continue
				}
				out.WriteString(h.run(line))
			}
			return out.String()
		}
	})
}

type harness struct {
	t    *testing.T
	s    *State
	now  record.LogTime
	hold bool
	disk map[string][]byte
	fx   Effects
}

func newHarness(t *testing.T) *harness {
	return &harness{t: t, s: New(), now: 1_000_000, disk: map[string][]byte{}}
}

// args are the name=value pairs of a line, with defaults.
type args struct {
	t     *testing.T
	words map[string]string
}

func (a args) int(name string, def int64) int64 {
	v, ok := a.words[name]
	if !ok {
		return def
	}
	var n int64
	if _, err := fmt.Sscan(v, &n); err != nil {
		a.t.Fatalf("%s=%s: %v", name, v, err)
	}
	return n
}

func (a args) flag(name string) bool { _, ok := a.words[name]; return ok }

func (h *harness) run(line string) string {
	fields := strings.Fields(line)
	a := args{h.t, map[string]string{}}
	id := "x"
	for _, f := range fields[1:] {
		k, v, _ := strings.Cut(f, "=")
		a.words[k] = v
		if k == "id" {
			id = v
		}
	}
	producer, epoch := a.int("producer", -1), int16(a.int("epoch", -1))
	switch fields[0] {
	case "init":
		return h.apply(&Init{
			ID: id, Timeout: int32(a.int("timeout", 60_000)), Producer: producer, Epoch: epoch, Spare: a.int("spare", -1),
		})
	case "add":
		c := &Add{ID: id, Producer: producer, Epoch: epoch, Bumps: a.flag("v2")}
		for _, n := range strings.FieldsFunc(a.words["parts"], comma) {
			p := Partition{Topic: 1, Name: "t"}
			if _, err := fmt.Sscan(n, &p.Number); err != nil {
				h.t.Fatal(err)
			}
			p.ID = record.PartitionID(p.Number) + 100
			c.Partitions = append(c.Partitions, p)
		}
		c.Groups = strings.FieldsFunc(a.words["groups"], comma)
		return h.apply(c)
	case "commit", "abort":
		return h.apply(&End{
			ID: id, Producer: producer, Epoch: epoch, Commit: fields[0] == "commit", Bumps: a.flag("v2"), Spare: a.int("spare", -1),
		})
	case "complete":
		return h.apply(&Complete{ID: id, Number: uint64(a.int("number", 1))})
	case "wait":
		h.now += record.LogTime(a.int("ms", 0))
		h.hold = a.flag("hold")
		return h.tick()
	case "deadline":
		at, ok := h.s.NextDeadline()
		return fmt.Sprintf("in %d ms, %v\n", at-h.now, ok)
	}
	h.t.Fatalf("no such command: %s", line)
	return ""
}

func comma(r rune) bool { return r == ',' }

func (h *harness) apply(c Command) string {
	decoded, err := Decode(c.AppendTo(nil))
	if err != nil {
		h.t.Fatal(err)
	}
	if err := Check(c); err != nil {
		return fmt.Sprintf("refused: %v\n", err)
	}
	r := h.s.Apply(h.now, decoded, &h.fx)
	out := "ok\n"
	switch {
	case r.Err != nil:
		out = fmt.Sprintf("%v\n", r.Err)
	case r.Number > 0:
		out = fmt.Sprintf("transaction %d\n", r.Number)
	case reflect.TypeOf(c) != reflect.TypeFor[*Complete]():
		out = fmt.Sprintf("producer %d epoch %d", r.Producer, r.Epoch)
		if r.Waiting {
			out += ", waiting"
		}
		out += "\n"
	}
	return out + h.tick()
}

// tick ends an entry, and shows what follows and how things stand.
func (h *harness) tick() string {
	h.s.Tick(h.now, h.hold, &h.fx)
	var out strings.Builder
	for _, id := range h.fx.Decided {
		d, ok := h.s.Decision(id)
		fmt.Fprintf(&out, "decided %s: transaction %d producer %d epoch %d commit %v to %d partitions %v (%v)\n",
			id, d.Number, d.Producer, d.Epoch, d.Commit, len(d.Partitions), d.Groups, ok)
	}
	for _, id := range h.fx.Completed {
		fmt.Fprintf(&out, "completed %s\n", id)
	}
	h.fx.Reset()
	for d := range h.s.All() {
		fmt.Fprintf(&out, "  %s: %v producer %d epoch %d, %d partitions\n", d.ID, d.Phase, d.Producer, d.Epoch, len(d.Partitions))
	}
	h.reload()
	return out.String()
}

// reload takes a checkpoint and holds what it restores against the state.
func (h *harness) reload() {
	h.s.Freeze()
	h.s.EncodePages(func(key, value []byte) {
		if value == nil {
			delete(h.disk, string(key))
			return
		}
		h.disk[string(key)] = value
	}, func() bool { return true })
	s := New()
	for key, value := range h.disk {
		if err := s.RestorePage([]byte(key), value); err != nil {
			h.t.Fatal(err)
		}
	}
	if err := s.Restored(); err != nil {
		h.t.Fatal(err)
	}
	if len(s.ids) != len(h.s.ids) {
		h.t.Fatalf("%d ids restored of %d", len(s.ids), len(h.s.ids))
	}
	for id, want := range h.s.ids {
		a, b := *s.ids[id], *want
		a.Place, b.Place = due.Place{}, due.Place{}
		a.due, b.due = 0, 0
		if len(a.groups)+len(b.groups) == 0 {
			a.groups, b.groups = nil, nil
		}
		if !reflect.DeepEqual(a, b) {
			h.t.Fatalf("restored %+v, want %+v", a, b)
		}
	}
	s.held = h.s.held
	h.s = s
}

func samples() []Command {
	return []Command{
		&Init{ID: "x", Timeout: 60_000, Producer: 1 << 40, Epoch: 3, Spare: -1},
		&Add{
			ID: "x", Producer: 7, Epoch: 2, Bumps: true, Groups: []string{"g", "h"},
			Partitions: []Partition{{Topic: 1 << 50, Name: "t", Number: 3, ID: 9}},
		},
		&End{ID: "x", Producer: 7, Epoch: 2, Commit: true, Bumps: true, Spare: 8},
		&Complete{ID: "x", Number: 1 << 63},
	}
}

func TestCommandsRoundTrip(t *testing.T) {
	for _, c := range samples() {
		b := c.AppendTo(nil)
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%+v became %+v, %v", c, got, err)
		}
		for n := range b {
			if _, err := Decode(b[:n]); err == nil {
				t.Errorf("%T cut to %d bytes is accepted", c, n)
			}
		}
		if _, err := Decode(append(b, 0)); err == nil {
			t.Errorf("%T with a byte too many is accepted", c)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range samples() {
		f.Add(c.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(c.AppendTo(nil))
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%+v became %+v, %v", c, again, err)
		}
	})
}

func FuzzRestorePage(f *testing.F) {
	h := newHarness(&testing.T{})
	h.run("init spare=1")
	h.run("add producer=1 epoch=0 parts=1,2 groups=g")
	for key, value := range h.disk {
		f.Add([]byte(key), value)
	}
	f.Fuzz(func(_ *testing.T, key, value []byte) {
		s := New()
		if s.RestorePage(key, value) == nil && s.Restored() == nil {
			s.NextDeadline()
		}
	})
}

// TestRefusals: Check and the limits that scripts cannot show.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		cmd  Command
		want error
	}{
		{&Init{ID: "", Timeout: 1}, ErrInvalid},
		{&Init{ID: strings.Repeat("x", MaxName+1), Timeout: 1}, ErrInvalid},
		{&Init{ID: "x", Timeout: MaxTimeout + 1}, ErrInvalidTimeout},
		{&Init{ID: "x", Timeout: 0}, ErrInvalidTimeout},
		{&Init{ID: "x", Timeout: MaxTimeout}, nil},
		{&Add{ID: "x", Groups: make([]string, MaxTargets+1)}, ErrTooMany},
		{&Add{ID: "x", Groups: []string{strings.Repeat("x", MaxName+1)}}, ErrInvalid},
		{&End{ID: "x"}, nil},
	} {
		if err := Check(c.cmd); !errors.Is(err, c.want) {
			t.Errorf("%T: %v, want %v", c.cmd, err, c.want)
		}
	}
}

// TestEpochsRunOut: the producer id is replaced before its epochs are used up.
func TestEpochsRunOut(t *testing.T) {
	last := func(spare int64, commands ...string) string {
		h := newHarness(t)
		h.run("init spare=10")
		h.s.ids["x"].epoch = lastEpoch - 1
		var out string
		for _, c := range commands {
			out, _, _ = strings.Cut(h.run(fmt.Sprintf("%s spare=%d", c, spare)), "\n")
		}
		return out
	}
	for _, c := range []struct {
		what     string
		commands []string
		spare    int64
		want     string
	}{
		{"the last epoch is used", []string{"init"}, -1, "producer 10 epoch 32766"},
		{"then there is none", []string{"init", "init"}, -1, ErrConcurrent.Error()},
		{"a new id", []string{"init", "init"}, 11, "producer 11 epoch 0"},
		{"a new id, asked for again", []string{"init", "init producer=10 epoch=32766", "init producer=10 epoch=32766"}, 11, "producer 11 epoch 0"},
		{"a transaction of the last epoch", []string{"init", "add producer=10 epoch=32766 parts=1 v2", "commit producer=10 epoch=32766 v2"}, 11, "producer 11 epoch 0, waiting"},
		{"ended again", []string{
			"init", "add producer=10 epoch=32766 parts=1 v2", "commit producer=10 epoch=32766 v2", "complete",
			"commit producer=10 epoch=32766 v2",
		}, 11, "producer 11 epoch 0"},
		{"nobody gets the epoch that fences", []string{
			"init", "add producer=10 epoch=32766 parts=1", "init", "complete", "add producer=10 epoch=32767 parts=1",
		}, -1, ErrFenced.Error()},
		{"after a fence", []string{"init", "add producer=10 epoch=32766 parts=1", "init", "complete", "init"}, 11, "producer 11 epoch 0"},
	} {
		if got := last(c.spare, c.commands...); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}
