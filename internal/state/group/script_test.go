package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/script"
)

// TestScripts runs testdata/*.txt. A block may have several commands, one a
// line; "scenario NAME" begins anew. After every command the state is saved and
// loaded again, and must be the same.
func TestScripts(t *testing.T) {
	scenarios := 0
	script.Run(t, "testdata/*.txt", func(t *testing.T) func(*script.Command) string {
		t.Helper()
		h := newHarness(t)
		return func(c *script.Command) string {
			var out strings.Builder
			for _, line := range append([]string{c.Text}, c.Body...) {
				if strings.HasPrefix(line, "scenario ") {
					scenarios++
					h = newHarness(t)
					continue
				}
				out.WriteString(h.run(line))
			}
			return out.String()
		}
	})
	if scenarios < 40 {
		t.Errorf("%d scenarios, want 40", scenarios)
	}
}

// harness runs one scenario.
type harness struct {
	t     *testing.T
	s     *State
	now   record.LogTime
	term  record.Term
	disk  map[string][]byte // the checkpoint
	shown map[string]string // what was last printed of each group
	out   strings.Builder
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	return &harness{t: t, s: New(), now: 1_000_000, term: 1, disk: map[string][]byte{}, shown: map[string]string{}}
}

// run carries out one line and returns what it answers.
func (h *harness) run(line string) string {
	h.out.Reset()
	verb, args, _ := strings.Cut(line, " ")
	a := parseArgs(h.t, line, args)
	if question, ok := questions[verb]; ok {
		question(h, a)
		return h.out.String()
	}
	build, ok := commands[verb]
	if !ok {
		h.t.Fatalf("no such command: %s", line)
	}
	h.apply(build(h, a))
	return h.out.String()
}

func (h *harness) printf(format string, args ...any) { fmt.Fprintf(&h.out, format+"\n", args...) }

// apply sends the command through its encoding, as the log does, and ticks.
func (h *harness) apply(c Command) {
	decoded, err := Decode(c.AppendTo(nil))
	if err != nil {
		h.t.Fatalf("decoding %+v: %v", c, err)
	}
	var fx Effects
	h.s.Begin(h.now, h.term)
	r := h.s.Apply(h.now, decoded, &fx)
	switch c.(type) {
	case *Join:
		if !r.Waiting {
			h.printf("%s", showJoin(r.Join))
		}
	case *Sync:
		if !r.Waiting {
			h.printf("%s", showSync(r.Sync))
		}
	default:
		h.printf("%s", showErr(r.Err, "ok"))
	}
	for i, err := range r.Each {
		h.printf("%d: %s", i, showErr(err, "ok"))
	}
	h.s.Tick(h.now, false, &fx)
	if r.Waiting && len(fx.Joined)+len(fx.Synced) == 0 {
		h.printf("waiting")
	}
	h.effects(&fx)
	h.changed()
	h.checkpoint()
}

func (h *harness) effects(fx *Effects) {
	for _, j := range fx.Joined {
		h.printf("join of %s: %s", j.Member, showJoin(j.Reply))
	}
	for _, s := range fx.Synced {
		h.printf("sync of %s: %s", s.Member, showSync(s.Reply))
	}
}

// changed prints the groups that look different now.
func (h *harness) changed() {
	now := map[string]string{}
	for sum := range h.s.Groups() {
		d, _ := h.s.Describe(sum.Group)
		g := h.s.groups[sum.Group]
		members := []string{}
		for _, m := range d.Members {
			mark := ""
			if m.Member == d.Leader {
				mark = "*"
			}
			members = append(members, m.Member+mark)
		}
		line := fmt.Sprintf("%s: %v generation %d [%s]", sum.Group, sum.Phase, d.Generation, strings.Join(members, " "))
		if len(g.reserved) > 0 {
			line += fmt.Sprintf(" reserved %d", len(g.reserved))
		}
		now[sum.Group] = line
	}
	for _, id := range slices.Sorted(maps.Keys(now)) {
		if h.shown[id] != now[id] {
			h.printf("%s", now[id])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(h.shown)) {
		if now[id] == "" {
			h.printf("%s: gone", id)
		}
	}
	h.shown = now
}

// checkpoint writes what changed and holds a state made of it against the
// present one.
func (h *harness) checkpoint() {
	h.t.Helper()
	save(h.s, h.disk)
	loaded := load(h.t, h.disk)
	if got, want := dump(loaded), dump(h.s); got != want {
		h.t.Fatalf("the state loaded from a checkpoint differs:\n%s\nwant:\n%s", got, want)
	}
}

func save(s *State, disk map[string][]byte) {
	s.Freeze()
	s.EncodePages(func(k, v []byte) {
		if v == nil {
			delete(disk, string(k))
			return
		}
		disk[string(k)] = v
	}, func() bool { return true })
}

func load(t interface {
	Helper()
	Fatal(...any)
}, disk map[string][]byte,
) *State {
	t.Helper()
	s := New()
	for _, k := range slices.Sorted(maps.Keys(disk)) {
		if err := s.RestorePage([]byte(k), disk[k]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Restored(); err != nil {
		t.Fatal(err)
	}
	return s
}

// dump shows everything that a state holds, field by field.
func dump(s *State) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %+v %v\n", s.term, s.settings, s.Topics())
	for _, g := range s.sorted() {
		bare := *g
		bare.members, bare.byID, bare.static, bare.topics, bare.pages, bare.txns = nil, nil, nil, nil, nil, nil
		bare.timer, bare.expiry, bare.room = timer{at: g.timer.at}, timer{at: g.expiry.at}, 0
		fmt.Fprintf(&b, "%+v\n", bare)
		for _, m := range g.members {
			fmt.Fprintf(&b, "\t%+v\n", *m)
		}
		for _, x := range g.sortedTxns() {
			fmt.Fprintf(&b, "\t%+v\n", *x)
		}
		for _, p := range g.pages {
			for _, o := range slices.SortedFunc(slices.Values(p.entries), compareOffsets) {
				fmt.Fprintf(&b, "\t%d: %d %q %d: %d %d %q %d %d\n", p.number,
					o.topic.id, o.topic.name, o.partition, o.offset, o.epoch, o.metadata, o.at, o.expires)
			}
		}
	}
	return b.String()
}

func showErr(err error, fine string) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return fine
}

func showJoin(r JoinReply) string {
	if errors.Is(r.Err, ErrMemberIDRequired) {
		return fmt.Sprintf("error: %v: %s", r.Err, r.Member)
	}
	if r.Err != nil {
		return "error: " + r.Err.Error()
	}
	out := fmt.Sprintf("%s generation %d %s/%s leader %s", r.Member, r.Generation, r.ProtocolType, r.Protocol, r.Leader)
	if r.SkipAssignment {
		out += " skip"
	}
	for _, m := range r.Members {
		out += fmt.Sprintf(" %s", m.Member)
		if m.Instance != "" {
			out += "/" + m.Instance
		}
		out += "=" + showMetadata(m.Metadata)
	}
	return out
}

func showSync(r SyncReply) string {
	return showErr(r.Err, fmt.Sprintf("%s/%s %q", r.ProtocolType, r.Protocol, r.Assignment))
}

// showMetadata prints a subscription as scripts write it.
func showMetadata(b []byte) string {
	s := subscription{topics: map[string]struct{}{}}
	if !s.add(b) {
		return string(b)
	}
	return "@" + strings.Join(slices.Sorted(maps.Keys(s.topics)), ",")
}

// parseMetadata turns @t1,t2 into a subscription of consumers.
func parseMetadata(s string) []byte {
	topics, ok := strings.CutPrefix(s, "@")
	if !ok {
		return []byte(s)
	}
	names := strings.Split(topics, ",")
	b := binary.BigEndian.AppendUint16(nil, 1)
	b = binary.BigEndian.AppendUint32(b, uint32(len(names)))
	for _, n := range names {
		b = binary.BigEndian.AppendUint16(b, uint16(len(n)))
		b = append(b, n...)
	}
	return binary.BigEndian.AppendUint32(b, 0)
}

// args are the words of a line: plain ones, and key=value.
type args struct {
	t     *testing.T
	line  string
	words []string
	keys  map[string][]string
}

func parseArgs(t *testing.T, line, rest string) *args {
	t.Helper()
	a := &args{t: t, line: line, keys: map[string][]string{}}
	for w := range strings.FieldsSeq(rest) {
		if k, v, ok := strings.Cut(w, "="); ok && !strings.Contains(k, "/") {
			a.keys[k] = append(a.keys[k], v)
			continue
		}
		a.words = append(a.words, w)
	}
	return a
}

func (a *args) fatal(err error) {
	if err != nil {
		a.t.Fatalf("%s: %v", a.line, err)
	}
}

func (a *args) word(i int) string {
	if i >= len(a.words) {
		return ""
	}
	return a.words[i]
}

func (a *args) key(k, otherwise string) string {
	if v := a.keys[k]; len(v) > 0 {
		return v[0]
	}
	return otherwise
}

func (a *args) flag(w string) bool { return slices.Contains(a.words, w) }

func (a *args) number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	a.fatal(err)
	return n
}

func (a *args) millis(s string) int64 {
	d, err := time.ParseDuration(s)
	a.fatal(err)
	return d.Milliseconds()
}

// topic reads t7 as the topic with id 7.
func (a *args) topic(s string) record.TopicID {
	n, ok := strings.CutPrefix(s, "t")
	if !ok {
		a.t.Fatalf("%s: %q is no topic", a.line, s)
	}
	return record.TopicID(a.number(n))
}
