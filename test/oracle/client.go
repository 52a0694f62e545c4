package oracle

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The types of frames.
const (
	frameMethod    = 1
	frameHeader    = 2
	frameBody      = 3
	frameHeartbeat = 8
	frameEnd       = 0xCE
)

// bodyMax is how much of a body one frame of ours holds.
const bodyMax = 100_000

// event is something that a server did, as a dialogue writes it.
type event struct {
	conn    string
	channel uint16
	text    string
}

// client is one connection to a server. What the server sends goes to events
// from a goroutine of its own, which ends with the connection.
type client struct {
	name   string
	nc     net.Conn
	events chan<- event
	done   sync.WaitGroup
	hungUp atomic.Bool // by the dialogue: the end that follows is no event
}

// dial connects; the handshake is the dialogue's or handshake's.
func dial(name, address string, events chan<- event) (*client, error) {
	nc, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &client{name: name, nc: nc, events: events}
	c.done.Go(c.read)
	return c, nil
}

func (c *client) close() {
	_ = c.nc.Close()
	c.done.Wait()
}

func (c *client) send(b []byte) error {
	_, err := c.nc.Write(b)
	return err
}

// appendFrame appends a frame.
func appendFrame(b []byte, kind byte, channel uint16, payload []byte) []byte {
	b = append(b, kind)
	b = binary.BigEndian.AppendUint16(b, channel)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return append(append(b, payload...), frameEnd)
}

// command appends the frames of a written command: a method, and behind a bar
// its content.
func command(b []byte, channel uint16, text string) ([]byte, error) {
	parts := splitAt(text, '|')
	words := splitAt(strings.TrimSpace(parts[0]), ' ')
	m := amqp.byName[words[0]]
	if m == nil {
		return nil, fmt.Errorf("there is no method %q", words[0])
	}
	payload, err := appendMethod(nil, m, values(words[1:]))
	if err != nil {
		return nil, err
	}
	b = appendFrame(b, frameMethod, channel, payload)
	if m.name != "basic.publish" {
		return b, nil
	}
	properties := map[string]string{}
	if len(parts) > 1 {
		properties = values(splitAt(strings.TrimSpace(parts[1]), ' '))
	}
	body, err := unquote(properties["body"])
	if err != nil {
		return nil, err
	}
	delete(properties, "body")
	if payload, err = appendProperties(nil, uint64(len(body)), properties); err != nil {
		return nil, err
	}
	b = appendFrame(b, frameHeader, channel, payload)
	for len(body) > 0 {
		n := min(len(body), bodyMax)
		b = appendFrame(b, frameBody, channel, []byte(body[:n]))
		body = body[n:]
	}
	return b, nil
}

// values reads name=value words.
func values(words []string) map[string]string {
	m := map[string]string{}
	for _, w := range words {
		if name, value, ok := strings.Cut(w, "="); ok {
			m[name] = value
		}
	}
	return m
}

// content is one that is arriving.
type content struct {
	text string // the method, and once the header is there the properties
	left uint64
	body []byte
}

// read turns frames into events until the connection ends. Who closes the socket
// after a connection.close-ok is open: that end is no event.
func (c *client) read() {
	r := bufio.NewReader(c.nc)
	open := map[uint16]*content{}
	over := false
	for {
		var head [7]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			if !over && !c.hungUp.Load() {
				c.events <- event{c.name, 0, "closed"}
			}
			return
		}
		if string(head[:4]) == "AMQP" {
			_, _ = r.Discard(1)
			c.events <- event{c.name, 0, "protocol-header"}
			continue
		}
		channel := binary.BigEndian.Uint16(head[1:])
		payload := make([]byte, binary.BigEndian.Uint32(head[3:])+1)
		if _, err := io.ReadFull(r, payload); err != nil || payload[len(payload)-1] != frameEnd {
			c.events <- event{c.name, channel, "broken frame"}
			return
		}
		if text := c.frame(open, head[0], channel, payload[:len(payload)-1]); text != "" {
			c.events <- event{c.name, channel, text}
			over = text == "connection.close-ok"
		}
	}
}

// frame takes one frame and returns what is complete with it.
func (c *client) frame(open map[uint16]*content, kind byte, channel uint16, payload []byte) string {
	switch kind {
	case frameHeartbeat:
		return ""
	case frameMethod:
		m, fields, err := parseMethod(payload)
		if err != nil {
			return "broken method: " + err.Error()
		}
		text := describe(m, fields)
		switch m.name {
		case "basic.deliver", "basic.return", "basic.get-ok":
			open[channel] = &content{text: text}
			return ""
		}
		return text
	case frameHeader:
		ct := open[channel]
		size, properties, err := parseProperties(payload)
		if ct == nil || err != nil {
			return fmt.Sprintf("broken content header: %v", err)
		}
		ct.left, ct.text = size, ct.text+" |"
		if properties != "" {
			ct.text += " " + properties
		}
		return c.complete(open, channel, ct)
	case frameBody:
		ct := open[channel]
		if ct == nil || uint64(len(payload)) > ct.left {
			return "broken body"
		}
		ct.body, ct.left = append(ct.body, payload...), ct.left-uint64(len(payload))
		return c.complete(open, channel, ct)
	}
	return "frame of unknown type: " + hex.EncodeToString(payload)
}

func (c *client) complete(open map[uint16]*content, channel uint16, ct *content) string {
	if ct.left > 0 {
		return ""
	}
	delete(open, channel)
	body := quote(string(ct.body))
	if len(body) > 200 {
		body = fmt.Sprintf("(%d bytes)", len(ct.body))
	}
	return ct.text + " body=" + body
}

// describe writes a method with those of its fields that are not zero.
func describe(m *method, fields []string) string {
	text := m.name
	for i, f := range m.fields {
		if fields[i] == zero(f.kind) || f.name == "server-properties" {
			continue
		}
		text += " " + f.name + "=" + fields[i]
	}
	return text
}

// clientProperties are what a client of today says it can do.
const clientProperties = `{product:S:oracle,capabilities:F:{consumer_cancel_notify:t:true,basic.nack:t:true,` +
	`publisher_confirms:t:true,authentication_failure_close:t:true,connection.blocked:t:true}}`

// opening is a handshake: the commands, each after the answer to the one before.
var opening = []string{
	"connection.start-ok client-properties=" + clientProperties + ` mechanism=PLAIN response="\x00guest\x00guest" locale=en_US`,
	"connection.tune-ok channel-max=2047 frame-max=131072 heartbeat=0\nconnection.open virtual-host=",
}

// handshake opens a connection in a vhost.
func handshake(name, address, vhost string, events chan event) (*client, error) {
	mine := make(chan event, 16)
	c, err := dial(name, address, mine)
	if err != nil {
		return nil, err
	}
	next := []byte("AMQP\x00\x00\x09\x01")
	for step := 0; ; step++ {
		if err := c.send(next); err != nil {
			return nil, fmt.Errorf("handshake: %w", err)
		}
		select {
		case e := <-mine:
			if e.text == "connection.open-ok" {
				go func() { // from now on they are the dialogue's
					c.done.Wait()
					close(mine)
				}()
				go func() {
					for e := range mine {
						events <- e
					}
				}()
				return c, nil
			}
			if step == len(opening) || !strings.HasPrefix(e.text, "connection.") {
				c.close()
				return nil, fmt.Errorf("handshake: the server says %s", e.text)
			}
		case <-time.After(20 * time.Second):
			c.close()
			return nil, fmt.Errorf("handshake: no answer")
		}
		next = nil
		for line := range strings.Lines(opening[step]) {
			line = strings.TrimSpace(line)
			if strings.HasSuffix(line, "virtual-host=") {
				line += quote(vhost)
			}
			if next, err = command(next, 0, line); err != nil {
				return nil, err
			}
		}
	}
}
