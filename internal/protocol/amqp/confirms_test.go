package amqp

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// told is what the writer would say now.
func told(t *testing.T, c *confirms) string {
	t.Helper()
	var out []string
	for b := c.appendTo(nil, 1); len(b) > 0; {
		f, n, ok, err := wire.ParseFrame(b, 0)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		b = b[n:]
		switch id, args, _ := wire.SplitMethod(f.Payload); id {
		case wire.IDBasicAck:
			var m wire.BasicAck
			if err := wire.Parse(&m, args); err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprint("ack ", m.DeliveryTag, " ", m.Multiple))
		case wire.IDBasicNack:
			var m wire.BasicNack
			if err := wire.Parse(&m, args); err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprint("nack ", m.DeliveryTag, " ", m.Multiple))
		}
	}
	return strings.Join(out, ", ")
}

func TestConfirmsAreCumulative(t *testing.T) {
	c := confirms{tally: new(tally)}
	c.on()
	a, b, d := c.add(3), c.add(1), c.add(2)
	if c.settle([]uint64{b}, committed) {
		t.Error("there is something to tell before the first is committed")
	}
	if got := told(t, &c); got != "" {
		t.Errorf("told %q", got)
	}
	if !c.settle([]uint64{a}, committed) {
		t.Error("there is nothing to tell")
	}
	if got := told(t, &c); got != "ack 4 true" {
		t.Errorf("told %q", got)
	}
	if !c.settle([]uint64{d}, committed) || told(t, &c) != "ack 6 true" {
		t.Error("the rest is not told")
	}
	e := c.add(1)
	if !c.settle([]uint64{e}, committed) || told(t, &c) != "ack 7 false" {
		t.Error("one alone is not told alone")
	}
}

func TestNackIsNeverCovered(t *testing.T) {
	c := confirms{tally: new(tally)}
	c.on()
	var spans []uint64
	for range 5 {
		spans = append(spans, c.add(2))
	}
	for i, f := range []fate{committed, refused, refused, committed} {
		c.settle([]uint64{spans[i]}, f)
	}
	if got, want := told(t, &c), "ack 2 true, nack 6 true, ack 8 true"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if c.settle([]uint64{spans[4]}, committed); told(t, &c) != "ack 10 true" {
		t.Error("the last is not told")
	}
}

// TestConfirmsTellEachPublishOnce: whatever the order of commits, every publish
// is told exactly once, as it went.
func TestConfirmsTellEachPublishOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	c := confirms{tally: new(tally)}
	c.on()
	type span struct {
		number, first, last uint64
		fate                fate
	}
	var under []span
	fates := []fate{pending} // by publish
	done := uint64(0)
	check := func() {
		for line := range strings.SplitSeq(told(t, &c), ", ") {
			if line == "" {
				continue
			}
			var word string
			var tag uint64
			var multiple bool
			if _, err := fmt.Sscan(line, &word, &tag, &multiple); err != nil {
				t.Fatal(line, err)
			}
			if !multiple && tag != done+1 {
				t.Fatalf("%s after %d", line, done)
			}
			for done < tag {
				if done++; fates[done] == pending || (fates[done] == committed) != (word == "ack") {
					t.Fatalf("%s covers %d, whose fate is %d", line, done, fates[done])
				}
			}
		}
	}
	settle := func(i int) {
		u := under[i]
		under = slices.Delete(under, i, i+1)
		for x := u.first; x <= u.last; x++ {
			fates[x] = u.fate
		}
		c.settle([]uint64{u.number}, u.fate)
	}
	for range 5000 {
		if r.IntN(2) == 0 || len(under) == 0 {
			n := 1 + r.IntN(3)
			first := uint64(len(fates))
			fates = append(fates, make([]fate, n)...)
			under = append(under, span{c.add(n), first, first + uint64(n) - 1, fate(1 + r.IntN(2))})
		} else {
			settle(r.IntN(len(under)))
		}
		if r.IntN(3) == 0 {
			check()
		}
	}
	for len(under) > 0 {
		settle(0)
	}
	if check(); int(done) != len(fates)-1 {
		t.Errorf("%d of %d publishes were told", done, len(fates)-1)
	}
}

// A client may close its channel behind its publishes: their confirms go before
// the answer, and none after it.
func TestConfirmsBeforeTheCloseOfTheirChannel(t *testing.T) {
	p := open(t, server(t, openBroker(t), nil))
	p.channel(1)
	p.send(1, &wire.ConfirmSelect{})
	expect[wire.ConfirmSelectOk](p, 1)
	var burst []byte
	for range 3 {
		burst = append(burst, message0(1, &wire.BasicPublish{}, wire.Properties{}, "1")...)
	}
	p.raw(wire.AppendMethod(burst, 1, &wire.ChannelClose{}))
	if m := expect[wire.BasicAck](p, 1); m.DeliveryTag != 3 || !m.Multiple {
		t.Errorf("%+v", m)
	}
	expect[wire.ChannelCloseOk](p, 1)
	p.quiet()

	c := confirms{tally: new(tally)}
	c.on()
	late := c.add(1)
	if b := c.end(nil, 1); len(b) > 0 {
		t.Errorf("%d bytes are told of what is not known", len(b))
	}
	c.settle([]uint64{late}, committed)
	if got := told(t, &c); got != "" {
		t.Errorf("told %q behind the end", got)
	}
}
