package oracle

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// randomSteps is how many lines a random dialogue has at most.
const randomSteps = 60

// random makes up a dialogue from a seed as it goes on: what comes next depends
// on what the server has answered. It publishes and asks on channel a1, and
// consumes on a2 and b1, one queue each, so that what the server says in one
// step has only one order.
type random struct {
	rng    *rand.Rand
	queue  []string // lines that must come next
	bodies int
	tags   map[string]int // deliveries that each channel has had
	// consuming says which channels have a consumer.
	consuming map[string]bool
	// consumers counts them, for their tags: RabbitMQ takes an ack of what a
	// cancelled consumer had for one of the next consumer of its tag.
	consumers int
	current   map[string]int // the last one of each channel
}

func newRandom(seed uint64) *random {
	g := &random{
		rng: rand.New(rand.NewPCG(seed, 1)), tags: map[string]int{}, consuming: map[string]bool{}, current: map[string]int{},
		queue: []string{"a1 channel.open", "a2 channel.open", "b1 channel.open"},
	}
	// Most often there is something to talk about.
	for _, n := range []string{"1", "2"} {
		if g.rng.IntN(8) > 0 {
			g.queue = append(g.queue, "a1 queue.declare queue=$q"+n+g.arguments(), "a1 exchange.declare exchange=$x"+n+" type="+g.kind())
			g.queue = append(g.queue, "a1 queue.bind queue=$q"+n+" exchange="+g.name("x")+" routing-key="+g.key())
		}
	}
	return g
}

// dialogue holds a random dialogue with a server and returns what was said.
func (g *random) dialogue(r *run, name string) (*dialogue, error) {
	d := &dialogue{name: name}
	stop := r.begin()
	defer stop()
	for len(d.steps) < randomSteps {
		say := g.next()
		if err := r.say(say); err != nil {
			return d, fmt.Errorf("%s: %w", say, err)
		}
		answers := r.listen(-1, due(say))
		d.steps = append(d.steps, step{say: say, answers: answers})
		for _, a := range answers {
			if strings.Contains(a, "connection.close") || strings.HasSuffix(a, "closed") {
				return d, nil
			}
			g.heard(a)
		}
	}
	return d, nil
}

// due is how many answers a line has at least.
func due(say string) int {
	_, text, _ := strings.Cut(say, " ")
	switch word, _, _ := strings.Cut(text, " "); word {
	case "basic.publish", "basic.ack", "basic.nack", "basic.reject", "channel.close-ok":
		return 0
	}
	return 1
}

// heard takes notice of an answer.
func (g *random) heard(answer string) {
	channel, text, _ := strings.Cut(answer, " ")
	switch word, _, _ := strings.Cut(text, " "); word {
	case "channel.close":
		g.queue = append(g.queue, channel+" channel.close-ok", channel+" channel.open")
		g.tags[channel], g.consuming[channel] = 0, false
	case "basic.deliver", "basic.get-ok":
		g.tags[channel]++
	case "basic.cancel", "basic.cancel-ok":
		g.consuming[channel] = false
	case "basic.consume-ok":
		g.consuming[channel] = true
	}
}

// next returns the next line.
func (g *random) next() string {
	if len(g.queue) > 0 {
		line := g.queue[0]
		g.queue = g.queue[1:]
		return line
	}
	switch g.rng.IntN(22) {
	case 0:
		return "a1 queue.declare queue=" + g.name("q") + g.flags("durable", "auto-delete", "passive") + g.arguments()
	case 2:
		return "a1 exchange.declare exchange=" + g.name("x") + " type=" + g.kind() +
			g.flags("durable", "auto-delete", "internal", "passive") + g.pick("", "", "", " arguments={alternate-exchange:S:"+g.name("x")+"}")
	case 3:
		return "a1 queue.bind queue=" + g.name("q") + " exchange=" + g.name("x") + " routing-key=" + g.key() + g.pick("", "", " arguments={x-match:S:any,h:I:1}")
	case 5:
		return "a1 " + g.pick("queue.unbind queue="+g.name("q")+" exchange=", "exchange.bind destination="+g.name("x")+" source=",
			"exchange.unbind destination="+g.name("x")+" source=") + g.name("x") + " routing-key=" + g.key()
	case 6:
		return "a1 " + g.pick("queue.delete queue="+g.name("q"), "queue.purge queue="+g.name("q"), "exchange.delete exchange="+g.name("x")+g.flags("if-unused"),
			"queue.delete queue="+g.name("q")+g.flags("if-unused", "if-empty"), "confirm.select", "basic.recover requeue=1",
			"tx.select", "tx.commit", "tx.rollback", "tx.commit")
	case 4, 7, 8, 9:
		return "a1 basic.get queue=" + g.name("q") + g.flags("no-ack")
	case 10, 15:
		return g.consume()
	case 1, 11, 12, 13, 14:
		return g.settle()
	}
	g.bodies++
	return "a1 basic.publish exchange=" + g.pick(`""`, `""`, g.name("x"), g.name("x")) + " routing-key=" + g.pick(g.name("q"), g.name("q"), g.key()) +
		g.flags("mandatory") + fmt.Sprintf(" | body=m%d", g.bodies) + g.pick("", "", " priority=2", " headers={h:I:1}", " delivery-mode=2", " headers={CC:A:[S:"+g.name("q")+"]}", " expiration=100000")
}

// arguments are those of a queue.
func (g *random) arguments() string {
	return g.pick("", "", "", "", " arguments={x-max-length:I:2}", " arguments={x-max-priority:I:3}",
		" arguments={x-max-length:I:1,x-overflow:S:reject-publish}", " arguments={x-max-length-bytes:I:5}",
		" arguments={x-dead-letter-exchange:S:,x-dead-letter-routing-key:S:"+g.name("q")+"}",
		" arguments={x-max-length:I:1,x-dead-letter-exchange:S:"+g.name("x")+"}",
		" arguments={x-single-active-consumer:t:true}", " arguments={x-message-ttl:I:-1}")
}

func (g *random) kind() string { return g.pick("direct", "fanout", "topic", "headers") }

// consume begins or ends a consumer; a channel has one at most.
func (g *random) consume() string {
	channel := g.pick("a2", "b1")
	if g.consuming[channel] {
		return channel + " " + g.pick("basic.cancel consumer-tag=c"+strconv.Itoa(g.current[channel]), "channel.close reply-code=200")
	}
	g.consumers++
	g.current[channel] = g.consumers
	g.queue = append(g.queue, fmt.Sprintf("%s basic.consume queue=%s consumer-tag=c%d", channel, g.name("q"), g.consumers)+g.flags("no-ack", "exclusive"))
	return channel + " basic.qos prefetch-count=" + g.pick("1", "2", "0")
}

// settle acknowledges or returns something, most often something that is there.
func (g *random) settle() string {
	channel := g.pick("a1", "a2", "b1")
	tag := 1 + g.rng.IntN(g.tags[channel]+1)
	return fmt.Sprintf("%s %s delivery-tag=%d", channel, g.pick("basic.ack", "basic.ack multiple=1", "basic.ack", "basic.nack multiple=1"+g.flags("requeue"), "basic.nack"+g.flags("requeue"), "basic.reject"+g.flags("requeue")), tag)
}

func (g *random) pick(choices ...string) string { return choices[g.rng.IntN(len(choices))] }

func (g *random) name(kind string) string { return "$" + kind + g.pick("1", "2") }

func (g *random) key() string { return g.pick("a", "a.b", "#", "*.b") }

// flags sets each of the flags in one case of four.
func (g *random) flags(names ...string) (set string) {
	for _, n := range names {
		if g.rng.IntN(4) == 0 {
			set += " " + n + "=1"
		}
	}
	return set
}
