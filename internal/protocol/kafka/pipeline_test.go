package kafka

import (
	"testing"

	"github.com/polylog-mq/polylog/internal/protocol/kafka/wire"
)

func newCall(size int) *call { return &call{frame: wire.NewFrame(size)} }

func TestPipelineAnswersInOrder(t *testing.T) {
	p := newPipeline()
	a, b, c := newCall(10), newCall(10), newCall(10)
	for _, x := range []*call{a, b} {
		if !p.add(x, false) {
			t.Fatal("refused")
		}
	}
	p.add(c, true)
	if got := p.take(false); got != nil {
		t.Fatal("the head is not ready")
	}
	p.ready(b)
	if got := p.take(false); got != nil {
		t.Fatal("overtaken")
	}
	p.ready(a)
	for _, want := range []*call{a, b, c} {
		if got := p.take(false); got != want {
			t.Fatalf("got %p, want %p", got, want)
		}
		if p.take(false) != nil {
			t.Fatal("taken twice")
		}
		p.pop()
	}
	if !p.idle() || p.take(false) != nil {
		t.Fatal("something is left")
	}
}

// TestPipelineIsAnsweredHere: who makes the head ready, and has time, answers it
// himself if it is prompt and nobody else is at it; else the writer is woken.
func TestPipelineIsAnsweredHere(t *testing.T) {
	for name, c := range map[string]struct {
		prepare     func(p *pipeline, head *call)
		here, woken bool
	}{
		"prompt":     {func(*pipeline, *call) {}, true, false},
		"not prompt": {func(_ *pipeline, head *call) { head.prompt = false }, false, true},
		"claimed":    {func(p *pipeline, _ *call) { p.claimed = true }, false, false},
		"owed":       {func(p *pipeline, _ *call) { p.owed = true }, false, true},
		"no socket":  {func(p *pipeline, _ *call) { p.here, p.prompt = nil, nil }, false, true},
	} {
		p, here := newPipeline(), false
		p.prompt, p.drained = func() {}, true
		p.here = func() { here = true }
		head, next := newCall(1), newCall(1)
		head.prompt, next.prompt = true, true
		p.add(head, false)
		if !p.only() {
			t.Errorf("%s: there are others beside the only one", name)
		}
		p.add(next, false)
		if p.only() {
			t.Errorf("%s: one of two is the only one", name)
		}
		c.prepare(p, head)
		if p.readyHere(next); here {
			t.Errorf("%s: answered out of turn", name)
		}
		p.readyHere(head)
		woken := len(p.work) > 0
		if here != c.here || woken != c.woken {
			t.Errorf("%s: answered here %v, its own writer woken %v", name, here, woken)
		}
	}
}

func TestPipelineGoesRound(t *testing.T) {
	p := newPipeline()
	for range 3 * maxInFlight {
		x := newCall(1)
		p.add(x, false)
		p.ready(x)
		if p.take(false) != x {
			t.Fatal("lost")
		}
		p.pop()
	}
}

func TestPipelineBlocksWhileFull(t *testing.T) {
	for name, size := range map[string]int{"calls": 8, "bytes": maxHeld/2 - 1} {
		p := newPipeline()
		n := 2
		if size == 8 {
			n = maxInFlight
		}
		for range n {
			p.add(newCall(size), true)
		}
		added := make(chan bool)
		go func() { added <- p.add(newCall(size), true) }()
		select {
		case <-added:
			t.Fatalf("%s: no limit", name)
		default:
		}
		p.take(false)
		p.pop()
		if !<-added {
			t.Fatalf("%s: refused", name)
		}
	}
}

func TestPipelineLetsOneLargeFrameIn(t *testing.T) {
	p := newPipeline()
	if !p.add(newCall(maxHeld+1), true) {
		t.Fatal("refused")
	}
}

func TestPipelineEnds(t *testing.T) {
	p := newPipeline()
	x := newCall(1)
	p.add(x, false)
	p.end()
	if p.add(newCall(1), true) {
		t.Fatal("a call was added after the end")
	}
	if !p.wait() {
		t.Fatal("over with a call under way")
	}
	p.ready(x)
	if p.take(false) != x {
		t.Fatal("the call under way is gone")
	}
	p.pop()
	if p.wait() {
		t.Fatal("not over")
	}
}

func TestPipelineAbandoned(t *testing.T) {
	p := newPipeline()
	var full []*call
	for range maxInFlight {
		full = append(full, newCall(1))
		p.add(full[len(full)-1], false)
	}
	added := make(chan bool)
	go func() { added <- p.add(newCall(1), true) }()
	p.abandon()
	if <-added {
		t.Fatal("added to what was given up")
	}
	p.ready(full[0])
	if p.take(false) != nil || p.wait() {
		t.Fatal("still at work")
	}
}
