// Package oracle holds dialogues between an AMQP client and RabbitMQ, frame by
// frame, and has Polylog take RabbitMQ's part in them.
//
// A dialogue is a text (testdata/*.txt): what the client sends, and below it
// what RabbitMQ answered when it was recorded.
//
//	== a queue that is not there
//	a1 channel.open
//	< a1 channel.open-ok
//	a1 queue.declare queue=$q passive=1
//	< a1 channel.close reply-code=404 reply-text="NOT_FOUND - no queue '$q' in vhost '/'" class-id=50 method-id=10
//
// A line begins with a connection (a letter) and a channel; the connection is
// opened when it is first named, unless "a dial" leaves the handshake to the
// dialogue. Then comes a method with the fields that are not zero, and behind a
// bar a content. "a bytes HEX" sends bytes, "a hangup" closes the socket, "wait
// 50ms" lets time pass, "a vhost $v" opens the connection in that vhost, and
// "management PUT vhosts/$v {}" asks the management API. Names with a dollar sign
// are the dialogue's own; names that a server chose are numbered. The codec here
// is written from a table of its own (methods.txt), apart from the product's.
package oracle

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dialogue is a name and steps.
type dialogue struct {
	name  string
	steps []step
}

// step is a line that the client says, and what follows it.
type step struct {
	comment []string
	say     string
	answers []string
}

// parse reads a file of dialogues.
func parse(text string) ([]*dialogue, error) {
	var all []*dialogue
	var comment []string
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " ")
		var d *dialogue
		if len(all) > 0 {
			d = all[len(all)-1]
		}
		switch {
		case line == "":
		case strings.HasPrefix(line, "#"):
			comment = append(comment, line)
		case strings.HasPrefix(line, "== "):
			all = append(all, &dialogue{name: line[3:]})
			if comment != nil {
				all[len(all)-1].steps = append(all[len(all)-1].steps, step{comment: comment})
				comment = nil
			}
		case d == nil:
			return nil, fmt.Errorf("line %d: outside of a dialogue", n+1)
		case strings.HasPrefix(line, "< "):
			if len(d.steps) == 0 {
				return nil, fmt.Errorf("line %d: an answer to nothing", n+1)
			}
			last := &d.steps[len(d.steps)-1]
			last.answers = append(last.answers, line[2:])
		default:
			d.steps = append(d.steps, step{comment: comment, say: line})
			comment = nil
		}
	}
	return all, nil
}

// write is parse's inverse.
func write(all []*dialogue) string {
	var b strings.Builder
	for i, d := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "== %s\n", d.name)
		for _, s := range d.steps {
			for _, c := range s.comment {
				fmt.Fprintln(&b, c)
			}
			if s.say != "" {
				fmt.Fprintln(&b, s.say)
			}
			for _, a := range s.answers {
				fmt.Fprintf(&b, "< %s\n", a)
			}
		}
	}
	return b.String()
}

// run is one dialogue with one server.
type run struct {
	address string
	api     string // the management API, up to "/api/"
	prefix  string // what "$" stands for
	events  chan event
	clients map[string]*client
	// made numbers the names that the server has chosen.
	made map[string]string
	// patience is how long to wait for an answer that is expected, and quiet
	// how long nothing must come for the server to have said all.
	patience, quiet time.Duration
}

// begin readies the run; stop hangs up.
func (r *run) begin() (stop func()) {
	r.events, r.clients, r.made = make(chan event, 1024), map[string]*client{}, map[string]string{}
	return func() {
		for _, c := range r.clients {
			go c.close()
		}
	}
}

// hold runs a dialogue and returns what the server says after each step. With
// expect it waits no longer than until as much has come as is recorded, and ends
// when for the second time it has not; without, until the answers are there that
// methods have.
func (r *run) hold(d *dialogue, expect bool) ([][]string, error) {
	stop := r.begin()
	defer stop()
	all, short := make([][]string, len(d.steps)), 0
	for i, s := range d.steps {
		if s.say == "" {
			continue
		}
		if err := r.say(s.say); err != nil {
			return nil, fmt.Errorf("%s: %w", s.say, err)
		}
		wanted, least := -1, len(s.answers)
		switch {
		case expect && i < len(d.steps)-1:
			if wanted = least; wanted == 0 {
				<-time.After(r.quiet)
			}
		case !expect:
			least = due(s.say)
		}
		if all[i] = r.listen(wanted, least); expect && len(all[i]) < least {
			if short++; short == 2 {
				break
			}
		}
	}
	return all, nil
}

// say sends one line.
func (r *run) say(line string) error {
	if d, ok := strings.CutPrefix(line, "wait "); ok {
		pause, err := time.ParseDuration(d)
		<-time.After(pause)
		return err
	}
	who, rest, _ := strings.Cut(line, " ")
	if who == "management" {
		return r.manage(rest)
	}
	conn := who[:1]
	word, text, _ := strings.Cut(rest, " ")
	c := r.clients[conn]
	if c == nil {
		var err error
		switch word {
		case "dial":
			c, err = dial(conn, r.address, r.events)
		case "vhost":
			c, err = handshake(conn, r.address, r.resolve(text), r.events)
		default:
			c, err = handshake(conn, r.address, "/", r.events)
		}
		if err != nil {
			return err
		}
		r.clients[conn] = c
	}
	switch word {
	case "dial", "vhost":
		return nil
	case "hangup":
		c.hungUp.Store(true)
		return c.nc.Close()
	case "bytes":
		b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		if err != nil {
			return err
		}
		_ = c.send(b) // the server may have hung up: that is an answer
		return nil
	}
	channel, err := strconv.ParseUint(who[1:], 10, 16)
	if err != nil {
		return fmt.Errorf("%q names no channel: %w", who, err)
	}
	b, err := command(nil, uint16(channel), r.resolve(rest))
	if err != nil {
		return err
	}
	_ = c.send(b) // the server may have hung up: that is an answer
	return nil
}

// resolve puts in the names that stand for others.
func (r *run) resolve(text string) string {
	text = strings.ReplaceAll(text, "$", r.prefix)
	return numbered.ReplaceAllStringFunc(text, func(name string) string {
		for real, number := range r.made {
			if number == name {
				return real
			}
		}
		return name
	})
}

var (
	numbered = regexp.MustCompile(`amq\.(gen|ctag)-\d+\b`)
	chosen   = regexp.MustCompile(`amq\.(gen|ctag)-[A-Za-z0-9_-]+`)
	// later are headers that RabbitMQ has only since 3.13.
	later  = regexp.MustCompile(`,x-last-death-[a-z]+:S:[^,}]*`)
	recent = regexp.MustCompile(`\bT:\d{10}\b|timestamp=\d{10}\b`)
	// theirs are the names of connections and nodes in what is traced.
	theirs = regexp.MustCompile(`\b(connection|node):S:("[^"]*"|[^,}]*)`)
)

// readable is resolve's inverse, for what a server says.
func (r *run) readable(text string) string {
	text = strings.ReplaceAll(later.ReplaceAllString(text, ""), r.prefix, "$")
	text = theirs.ReplaceAllString(text, "$1:S:its")
	text = chosen.ReplaceAllStringFunc(text, func(name string) string {
		number, ok := r.made[name]
		if !ok {
			kind := name[:strings.Index(name, "-")]
			number = fmt.Sprintf("%s-%d", kind, len(r.made)+1)
			r.made[name] = number
		}
		return number
	})
	return recent.ReplaceAllStringFunc(text, func(t string) string { return t[:len(t)-10] + "now" })
}

// listen gathers what the server says: exactly wanted events, or, if that is
// negative, all until it is quiet, after at least as many as are recorded.
func (r *run) listen(wanted, recorded int) []string {
	var got []event
	timer := time.NewTimer(0)
	defer timer.Stop()
	for wanted < 0 || len(got) < wanted {
		pause := r.quiet
		if len(got) < max(wanted, recorded) {
			pause = r.patience
		}
		timer.Reset(pause)
		select {
		case e := <-r.events:
			got = append(got, e)
			continue
		case <-timer.C:
		}
		break
	}
	slices.SortStableFunc(got, func(a, b event) int {
		if a.conn != b.conn {
			return strings.Compare(a.conn, b.conn)
		}
		return int(a.channel) - int(b.channel)
	})
	var lines []string
	for _, e := range got {
		who := e.conn
		if e.text != "closed" && e.text != "protocol-header" && e.conn != "management" {
			who += strconv.Itoa(int(e.channel))
		}
		lines = append(lines, r.readable(who+" "+e.text))
	}
	return lines
}
