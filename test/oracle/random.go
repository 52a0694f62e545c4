package oracle

import (
	"fmt"
	"math/rand/v2"
	"slices"
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
	// mortal says that messages may expire: what enqueues one is followed by a
	// wait that is longer than they live.
	mortal bool
	// rejecting says that queues refuse what is too much, and have no dead letters
	// then: those wait here until they are taken, where RabbitMQ loses them.
	rejecting bool
}

// The lifetime of what is to expire, in ms, and the wait for it.
const (
	lifetime = "60"
	outlive  = "wait 250ms"
	// settling is what policies take to be followed.
	settling = "wait 150ms"
)

func newRandom(seed uint64) *random {
	g := &random{
		rng: rand.New(rand.NewPCG(seed, 1)), tags: map[string]int{}, consuming: map[string]bool{}, current: map[string]int{},
		queue: []string{"a1 channel.open", "a2 channel.open", "b1 channel.open"},
	}
	g.mortal, g.rejecting = g.rng.IntN(4) == 0, g.rng.IntN(3) == 0
	// Most often there is something to talk about.
	for _, n := range []string{"1", "2"} {
		if g.rng.IntN(8) > 0 {
			g.queue = append(g.queue, "a1 queue.declare queue=$q"+n+g.arguments(), "a1 exchange.declare exchange=$x"+n+g.kind())
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

// unanswered are the methods of clients that a server does not answer.
var unanswered = []string{
	"connection.tune-ok", "connection.close-ok", "channel.close-ok", "channel.flow-ok", "basic.publish", "basic.ack", "basic.nack", "basic.reject",
	"basic.recover-async", "basic.cancel-ok", "dial", "vhost", "bytes", "hangup",
}

// due is how many answers a line has at least.
func due(say string) int {
	who, text, _ := strings.Cut(say, " ")
	word, _, _ := strings.Cut(text, " ")
	if who == "wait" || slices.Contains(unanswered, word) || strings.Contains(say, " no-wait=1") {
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
	line := g.line()
	if _, text, _ := strings.Cut(line, " "); g.mortal && (due(line) == 0 || text == "tx.commit" || strings.Contains(text, "close") || strings.Contains(text, "recover")) {
		g.queue = append(g.queue, outlive)
	}
	return line
}

func (g *random) line() string {
	switch g.rng.IntN(26) {
	case 0:
		return "a1 queue.declare queue=" + g.name("q") + g.flags("durable", "auto-delete", "passive", "exclusive") + g.arguments()
	case 2:
		return "a1 exchange.declare exchange=" + g.name("x") + g.kind() +
			g.flags("durable", "auto-delete", "internal", "passive")
	case 3:
		return "a1 queue.bind queue=" + g.name("q") + " exchange=" + g.name("x") + " routing-key=" + g.key() + g.match()
	case 5:
		return "a1 " + g.pick("queue.unbind queue="+g.name("q")+" exchange=", "exchange.bind destination="+g.name("x")+" source=",
			"exchange.unbind destination="+g.name("x")+" source=") + g.name("x") + " routing-key=" + g.key() + g.match()
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
	case 16:
		return g.policy()
	case 17:
		return g.oddity()
	}
	return g.publish()
}

func (g *random) publish() string {
	g.bodies++
	lives := ""
	if g.mortal {
		lives = " expiration=" + g.pick("0", lifetime)
	}
	return "a1 basic.publish exchange=" + g.pick(`""`, `""`, g.name("x"), g.name("x")) + " routing-key=" + g.pick(g.name("q"), g.name("q"), g.key()) +
		g.flags("mandatory") + fmt.Sprintf(" | body=m%d", g.bodies) + g.pick("", "", "", " priority=2", " priority=1", " priority=9", " headers={h:I:1}",
		" headers={h:S:1,k:t:true}", " headers={x-h:I:1,k:V:}", " delivery-mode=2", " headers={CC:A:[S:"+g.name("q")+"]}",
		" headers={BCC:A:[S:"+g.name("q")+"],CC:A:[S:"+g.key()+"]}", " expiration=100000", lives, lives)
}

// oddity is something that is done seldom.
func (g *random) oddity() string {
	channel := g.pick("a2", "b1")
	return g.pick("a1 queue.declare queue=\"\"", "a1 basic.get queue=\"\"", "a1 queue.bind queue=\"\" exchange="+g.name("x"),
		"a1 queue.delete queue=\"\"", channel+" basic.recover requeue=1", channel+" basic.recover-async requeue=1",
		channel+" basic.qos global=1 prefetch-count="+g.pick("0", "1", "2"), "b1 queue.declare passive=1 queue="+g.name("q"),
		"b1 queue.purge queue="+g.name("q"), "b1 basic.get no-ack=1 queue="+g.name("q"), "b1 queue.delete queue="+g.name("q"),
		"a1 queue.declare no-wait=1 queue="+g.name("q")+g.arguments(), "a1 queue.bind no-wait=1 exchange="+g.name("x")+" queue="+g.name("q")+" routing-key="+g.key(),
		"a1 queue.bind exchange=\"\" queue="+g.name("q"), "a1 basic.publish exchange=amq."+g.pick("direct", "topic", "fanout", "gone")+" routing-key="+g.key()+" mandatory=1 | body=amq")
}

// policy sets or clears one of the policies of a queue or an exchange.
func (g *random) policy() string {
	what, where := "q", g.name("q")
	if g.rng.IntN(4) == 0 {
		what, where = "x", g.name("x")
	}
	g.queue = append(g.queue, settling)
	path := g.pick("policies", "policies", "operator-policies") + "/%2F/" + where
	if what == "x" {
		path = "policies/%2F/" + where
	}
	if g.rng.IntN(4) == 0 {
		return manager + " DELETE " + path
	}
	value := g.pick(`"max-length":1`, `"max-length":3`+g.overflow(`,"overflow":"reject-publish"`), `"max-length-bytes":5`, `"max-length":2`, `"expires":900000`)
	switch {
	case what == "x":
		value = `"alternate-exchange":"` + g.name("x") + `"`
	case strings.HasPrefix(path, "operator"):
		value = g.pick(`"max-length":1`, `"max-length":2`, `"max-length-bytes":5`)
	case g.mortal:
		value = g.pick(value, `"message-ttl":`+lifetime)
	case !g.rejecting:
		value = g.pick(value, value, `"dead-letter-exchange":"`+g.name("x")+`"`, `"dead-letter-exchange":"","dead-letter-routing-key":"`+g.name("q")+`"`)
	}
	return fmt.Sprintf(`%s PUT %s {"pattern":"^%s","priority":%d,"apply-to":"%s","definition":{%s}}`, manager, path, where, g.rng.IntN(3),
		map[string]string{"q": "queues", "x": "exchanges"}[what], value)
}

// overflow is text where queues refuse what is too much.
func (g *random) overflow(text string) string {
	if !g.rejecting {
		return ""
	}
	return text
}

// dying are the arguments that give a queue dead letters.
func (g *random) dying() string {
	if g.rejecting {
		return ""
	}
	return g.pick("", ",x-dead-letter-exchange:S:"+g.name("x"), `,x-dead-letter-exchange:S:"",x-dead-letter-routing-key:S:`+g.name("q"))
}

// arguments are those of a queue.
func (g *random) arguments() string {
	lives := ""
	if g.mortal {
		lives = " arguments={x-message-ttl:I:" + lifetime + g.dying() + "}"
	}
	return g.pick("", "", "", "", lives, lives, " arguments={x-max-length:I:2"+g.dying()+"}", " arguments={x-max-priority:I:3"+g.dying()+"}",
		" arguments={x-max-length:I:1"+g.overflow(",x-overflow:S:reject-publish")+"}", " arguments={x-max-length-bytes:I:5"+g.dying()+"}",
		" arguments={x-whatever:I:1"+g.dying()+"}", " arguments={x-max-length:I:1"+g.dying()+"}",
		" arguments={x-max-length:I:2,x-max-priority:I:2"+g.dying()+"}",
		" arguments={x-single-active-consumer:t:true}", " arguments={x-message-ttl:I:-1}", " arguments={x-queue-mode:S:lazy,x-whatever:S:y}")
}

// kind is the type of an exchange, and perhaps its alternate.
func (g *random) kind() string {
	return " type=" + g.pick("direct", "fanout", "topic", "headers") + g.pick("", "", " arguments={alternate-exchange:S:"+g.name("x")+"}")
}

// match are the arguments of a binding, for exchanges that go by headers.
func (g *random) match() string {
	return g.pick("", "", "", " arguments={x-match:S:any,h:I:1}", " arguments={x-match:S:all,h:I:1,k:V:}", " arguments={h:S:1}",
		" arguments={x-match:S:any,k:V:}", " arguments={x-match:S:all,x-h:I:1}", " arguments={x-match:S:any-with-x,x-h:I:1}")
}

// consume begins or ends a consumer; a channel has one at most.
func (g *random) consume() string {
	channel := g.pick("a2", "b1")
	if g.consuming[channel] {
		return channel + " " + g.pick("basic.cancel consumer-tag=c"+strconv.Itoa(g.current[channel]), "channel.close reply-code=200")
	}
	g.consumers++
	g.current[channel] = g.consumers
	priority := g.pick("", "", " arguments={x-priority:I:1}")
	g.queue = append(g.queue, fmt.Sprintf("%s basic.consume queue=%s consumer-tag=c%d%s", channel, g.name("q"), g.consumers, priority)+g.flags("no-ack", "exclusive"))
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
