package lease

import (
	"fmt"
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/script"
)

// TestScripts runs testdata/*.txt: commands to a set and to the desk over it, and
// what they say. Verdicts take effect with "commit", which applies what the desk
// has decided, as the log would. "restart" is a change of leadership.
func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func(t *testing.T) func(*script.Command) string {
		h := &harness{t: t}
		return func(c *script.Command) string {
			var out strings.Builder
			for _, line := range append([]string{c.Text}, c.Body...) {
				out.WriteString(h.run(strings.Fields(line)))
			}
			return out.String()
		}
	})
}

type harness struct {
	t         *testing.T
	s         *State
	set       *Set
	d         *Desk
	term      record.Term
	now       record.LogTime
	levels    map[record.Offset]uint8 // of the records there are
	consumers map[string]*Consumer
	holders   map[string]*Holder
	leases    map[string]ID // the latest by record and holder
	fx        Effects
	keys      map[record.Offset]string
	loans     map[string]ID // the latest by owner and record
}

// number reads name=n of the words, or returns a default.
func number(words []string, name string, def int64) int64 {
	for _, w := range words {
		if v, ok := strings.CutPrefix(w, name+"="); ok {
			if _, err := fmt.Sscan(v, &def); err != nil {
				panic(err)
			}
		}
	}
	return def
}

// word returns the value of name=value, "" if there is none.
func word(words []string, name string) string {
	for _, w := range words {
		if v, ok := strings.CutPrefix(w, name+"="); ok {
			return v
		}
	}
	return ""
}

func has(words []string, flag string) bool {
	for _, w := range words {
		if w == flag {
			return true
		}
	}
	return false
}

func (h *harness) run(w []string) string {
	switch w[0] {
	case "queue":
		h.begin(w)
	case "append":
		h.append(w)
	case "consumer":
		return h.consumer(w)
	case "grant":
		h.d.Grant(h.consumers[w[1]], number(w, "credit", 1))
	case "cancel":
		h.d.Remove(h.consumers[w[1]])
	case "deliver":
		return h.deliver(int(number(w, "most", 100)))
	case "accept", "release", "count", "reject":
		return h.verdict(w)
	case "end":
		h.d.End(h.holders[w[1]])
	case "expire":
		return h.expire(w)
	case "purge":
		return fmt.Sprintf("%d purged\n", h.d.Purge())
	case "commit":
		return h.commit()
	case "restart":
		h.open()
	case "free":
		o := record.Offset(number(w, "at", 0))
		h.s.Free(h.set, o)
		h.d.Free(h.levels[o], o)
	case "time":
		h.now += record.LogTime(number(w, "ms", 0))
	case "state":
		return h.state()
	case "lend", "settle", "extend", "claim", "tick", "loans", "reload":
		return h.loan(w)
	default:
		h.t.Fatalf("no such command: %v", w)
	}
	return ""
}

func (h *harness) begin(w []string) {
	s := DefaultSettings()
	s.MaxPriority = uint8(number(w, "levels", 0))
	s.DeliveryLimit = int32(number(w, "limit", -1))
	s.DeadLetter = has(w, "dlx")
	s.SingleActive = has(w, "single")
	s.Grouped = has(w, "grouped")
	s.InFlightLimit = int32(number(w, "inflight", 0))
	s.Retry = Retry{First: number(w, "retry", 0), Factor: 2000, Cap: 1000}
	s.MessageTTL = number(w, "ttl", -1)
	*h = harness{t: h.t, s: New(nil), now: 1000, levels: map[record.Offset]uint8{}, keys: map[record.Offset]string{}, loans: map[string]ID{}}
	h.set = h.s.Define(1, 0, &s)
	h.open()
}

func (h *harness) open() {
	h.term++
	h.d = NewDesk(h.set, h.term)
	h.consumers, h.holders, h.leases = map[string]*Consumer{}, map[string]*Holder{}, map[string]ID{}
}

func (h *harness) append(w []string) {
	n := record.Offset(number(w, "n", 1))
	b := Batch{Range: Range{h.set.next, h.set.next + n - 1}, TTL: number(w, "ttl", -1), Delay: number(w, "delay", 0)}
	level := uint8(number(w, "level", 0))
	for o := b.First; o <= b.Last; o++ {
		h.levels[o] = level
		h.keys[o] = word(w, "key")
	}
	h.s.Append(h.set, b)
	h.d.Appended(0, b.Last)
	h.d.Appended(level, b.Last)
}

func (h *harness) consumer(w []string) string {
	if h.holders[w[1]] == nil {
		h.holders[w[1]] = &Holder{}
	}
	c := &Consumer{
		Holder: h.holders[w[1]], Exclusive: has(w, "exclusive"), NoAck: has(w, "noack"),
		Priority: int32(number(w, "priority", 0)), User: w[1],
	}
	if err := h.d.Add(c, number(w, "credit", -1)); err != nil {
		return err.Error() + "\n"
	}
	h.consumers[w[1]] = c
	return ""
}

// find does what the broker does for a Want: it looks for the record.
func (h *harness) find(w Want) (record.Offset, bool) {
	o := w.From
	for o < w.Limit && h.levels[o] != w.Level {
		o++
	}
	if o != w.From {
		h.d.Pass(w, min(o, w.Limit), h.d.Levels() == 1)
		return 0, false
	}
	return o, !h.d.Blocked(w, h.found(o))
}

func (h *harness) found(o record.Offset) Found {
	f := Found{Offset: o, Size: 1}
	for _, c := range h.keys[o] {
		f.Group = f.Group<<8 | uint64(c)
	}
	return f
}

func (h *harness) deliver(most int) string {
	var out strings.Builder
	for most > 0 && h.d.Wanting() {
		w, ok := h.d.Next()
		if !ok {
			break
		}
		o, found := h.find(w)
		if !found {
			continue
		}
		g, ok := h.d.Give(w, h.found(o), nil)
		if !ok {
			out.WriteString("waits for leave\n")
			break
		}
		fmt.Fprintf(&out, "%d to %s", o, g.Consumer.User)
		if g.Redelivered {
			out.WriteString(" redelivered")
		}
		if g.Attempts > 0 {
			fmt.Fprintf(&out, " attempts=%d", g.Attempts)
		}
		out.WriteString("\n")
		h.leases[fmt.Sprint(g.Consumer.User, o)] = g.Lease
		most--
	}
	return out.String()
}

func (h *harness) verdict(w []string) string {
	v := map[string]Verdict{"accept": Accept, "release": Release, "count": ReleaseCounted, "reject": Reject}[w[0]]
	out := ""
	for _, o := range w[2:] {
		if !h.d.Settle(h.holders[w[1]], h.leases[w[1]+o], v) {
			out += o + " is not " + w[1] + "'s\n"
		}
	}
	return out
}

// expire lets the first record of every level die, whatever its time.
func (h *harness) expire(w []string) string {
	for n := range h.d.Levels() {
		want, ok := h.d.Head(uint8(n))
		for ok {
			if o, found := h.find(want); found {
				h.d.Die(want, h.found(o), Expired, h.now+record.LogTime(number(w, "in", 0)))
				break
			}
			want, ok = h.d.Head(uint8(n))
		}
	}
	return ""
}

// commit logs what the desk has decided.
func (h *harness) commit() string {
	c := h.d.Take(1 << 20)
	decoded, err := Decode((&Report{Changes: []Change{c}}).AppendTo(nil))
	if err != nil {
		h.t.Fatal(err)
	}
	h.fx.Reset()
	h.s.Apply(h.now, false, decoded.(*Report), &h.fx)
	var out strings.Builder
	out.WriteString(h.effects())
	for _, d := range h.set.Deaths(0, 10) {
		fmt.Fprintf(&out, "%d dying: %s, number %d\n", d.Offset, d.Reason, d.Number)
	}
	h.d.Applied(&c)
	return out.String()
}

// effects tells the desk what was done, and what is to be done later.
func (h *harness) effects() string {
	var out strings.Builder
	for _, r := range h.fx.Back {
		h.d.Back(r)
	}
	for _, x := range h.fx.Gone {
		h.d.Gone(x.Offset)
	}
	for _, l := range h.fx.Later {
		fmt.Fprintf(&out, "%d in %d ms\n", l.Offset, l.Delay)
	}
	return out.String()
}

func (h *harness) state() string {
	return fmt.Sprintf("floor %d next %d, %d ready, %d leased, %d held\n", h.set.Floor(), h.set.Next(), h.d.Ready(), h.d.Leased(), h.set.Held())
}
