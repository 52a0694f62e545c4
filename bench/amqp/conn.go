package amqp

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// The methods that are spoken here: class << 16 | method.
const (
	connectionStart   = 10<<16 | 10
	connectionStartOk = 10<<16 | 11
	connectionTune    = 10<<16 | 30
	connectionTuneOk  = 10<<16 | 31
	connectionOpen    = 10<<16 | 40
	connectionOpenOk  = 10<<16 | 41
	connectionClose   = 10<<16 | 50
	channelOpen       = 20<<16 | 10
	channelOpenOk     = 20<<16 | 11
	channelClose      = 20<<16 | 40
	exchangeDeclare   = 40<<16 | 10
	exchangeDeclareOk = 40<<16 | 11
	queueDeclare      = 50<<16 | 10
	queueDeclareOk    = 50<<16 | 11
	queueBind         = 50<<16 | 20
	queueBindOk       = 50<<16 | 21
	queueDelete       = 50<<16 | 40
	queueDeleteOk     = 50<<16 | 41
	basicQos          = 60<<16 | 10
	basicQosOk        = 60<<16 | 11
	basicConsume      = 60<<16 | 20
	basicConsumeOk    = 60<<16 | 21
	basicPublish      = 60<<16 | 40
	basicDeliver      = 60<<16 | 60
	basicAck          = 60<<16 | 80
	basicNack         = 60<<16 | 120
	confirmSelect     = 85<<16 | 10
	confirmSelectOk   = 85<<16 | 11
)

const (
	frameMethod = 1
	frameHeader = 2
	frameBody   = 3
	frameEnd    = 0xCE
)

// timeout bounds the wait for any one frame.
const timeout = 60 * time.Second

// conn is a connection with one channel, number 1, open.
type conn struct {
	net.Conn
	r   *bufio.Reader
	buf []byte
}

// args gathers the arguments of a method.
type args struct{ b []byte }

func (a args) u8(v uint8) args   { return args{append(a.b, v)} }
func (a args) u16(v uint16) args { return args{binary.BigEndian.AppendUint16(a.b, v)} }
func (a args) u32(v uint32) args { return args{binary.BigEndian.AppendUint32(a.b, v)} }
func (a args) u64(v uint64) args { return args{binary.BigEndian.AppendUint64(a.b, v)} }
func (a args) short(s string) args {
	return args{append(append(a.b, byte(len(s))), s...)}
}
func (a args) long(s string) args {
	return args{append(binary.BigEndian.AppendUint32(a.b, uint32(len(s))), s...)}
}

// appendFrame appends a frame.
func appendFrame(b []byte, kind byte, channel uint16, payload []byte) []byte {
	b = binary.BigEndian.AppendUint16(append(b, kind), channel)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return append(append(b, payload...), frameEnd)
}

func appendMethod(b []byte, channel uint16, method uint32, a args) []byte {
	return appendFrame(b, frameMethod, channel, append(binary.BigEndian.AppendUint32(nil, method), a.b...))
}

// dial connects as guest and opens a channel.
func dial(addr string) (*conn, error) { return dialFrom("", addr) }

// dialFrom is dial from one of this machine's addresses, "" for any.
func dialFrom(source, addr string) (*conn, error) {
	d := net.Dialer{Timeout: 20 * time.Second}
	if source != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
	}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &conn{Conn: nc, r: bufio.NewReaderSize(nc, 256<<10)}
	if err := c.open(); err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("open a connection to %s: %w", addr, err)
	}
	return c, nil
}

func (c *conn) open() error {
	if _, err := c.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return err
	}
	if _, err := c.expect(connectionStart); err != nil {
		return err
	}
	start := args{}.u32(0).short("PLAIN").long("\x00guest\x00guest").short("en_US")
	if _, err := c.call(0, connectionStartOk, start, connectionTune); err != nil {
		return err
	}
	tune := appendMethod(nil, 0, connectionTuneOk, args{}.u16(2047).u32(131072).u16(0))
	if _, err := c.Write(tune); err != nil {
		return err
	}
	if _, err := c.call(0, connectionOpen, args{}.short("/").short("").u8(0), connectionOpenOk); err != nil {
		return err
	}
	_, err := c.call(1, channelOpen, args{}.short(""), channelOpenOk)
	return err
}

// call sends a method and waits for its answer, whose arguments it returns.
func (c *conn) call(channel uint16, method uint32, a args, answer uint32) ([]byte, error) {
	if _, err := c.Write(appendMethod(nil, channel, method, a)); err != nil {
		return nil, err
	}
	return c.expect(answer)
}

// expect reads until a method comes; what is not a method is passed over.
func (c *conn) expect(method uint32) ([]byte, error) {
	for {
		kind, payload, err := c.frame()
		if err != nil {
			return nil, err
		}
		if kind != frameMethod {
			continue
		}
		switch got := binary.BigEndian.Uint32(payload); got {
		case method:
			return payload[4:], nil
		case connectionClose, channelClose:
			return nil, closed(payload)
		}
	}
}

// closed says why the server closed.
func closed(payload []byte) error {
	return fmt.Errorf("the server closed with %d %s", binary.BigEndian.Uint16(payload[4:]), payload[7:7+payload[6]])
}

// frame reads one frame; the payload is good until the next.
func (c *conn) frame() (kind byte, payload []byte, err error) {
	if c.r.Buffered() == 0 {
		if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
			return 0, nil, err
		}
	}
	head, err := c.r.Peek(7)
	if err != nil {
		return 0, nil, fmt.Errorf("read a frame: %w", err)
	}
	kind = head[0]
	n := int(binary.BigEndian.Uint32(head[3:])) + 8
	if n <= c.r.Size() {
		b, err := c.r.Peek(n)
		if err != nil {
			return 0, nil, fmt.Errorf("read a frame: %w", err)
		}
		_, _ = c.r.Discard(n) // it is there
		return kind, b[7 : n-1], nil
	}
	if cap(c.buf) < n {
		c.buf = make([]byte, n)
	}
	if _, err := io.ReadFull(c.r, c.buf[:n]); err != nil {
		return 0, nil, fmt.Errorf("read a frame: %w", err)
	}
	return kind, c.buf[7 : n-1], nil
}

// Queue is a kind of queue: its x-queue-type, "" for the server's default.
type Queue string

// Declare makes durable queues prefix0, prefix1 and so on.
func Declare(addr string, kind Queue, prefix string, n int) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	table := args{}
	if kind != "" {
		table = table.short("x-queue-type").u8('S').long(string(kind))
	}
	for i := range n {
		a := args{}.u16(0).short(prefix + strconv.Itoa(i)).u8(2).long(string(table.b))
		if _, err := c.call(1, queueDeclare, a, queueDeclareOk); err != nil {
			return fmt.Errorf("declare a queue: %w", err)
		}
	}
	return nil
}

// Fan declares a fanout exchange and binds the queues of a prefix to it.
func Fan(addr, exchange, prefix string, n int) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	a := args{}.u16(0).short(exchange).short("fanout").u8(2).u32(0)
	if _, err := c.call(1, exchangeDeclare, a, exchangeDeclareOk); err != nil {
		return fmt.Errorf("declare an exchange: %w", err)
	}
	for i := range n {
		a := args{}.u16(0).short(prefix + strconv.Itoa(i)).short(exchange).short("").u8(0).u32(0)
		if _, err := c.call(1, queueBind, a, queueBindOk); err != nil {
			return fmt.Errorf("bind a queue: %w", err)
		}
	}
	return nil
}

// Delete deletes the queues of a prefix with what is in them.
func Delete(addr, prefix string, n int) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for i := range n {
		a := args{}.u16(0).short(prefix + strconv.Itoa(i)).u8(0)
		if _, err := c.call(1, queueDelete, a, queueDeleteOk); err != nil {
			return fmt.Errorf("delete a queue: %w", err)
		}
	}
	return nil
}

// perSource is how many connections Idle opens from one address: ports are
// limited, and closed connections occupy theirs for a minute.
const perSource = 4000

// Idle opens n connections that do nothing, from several of the addresses
// 127.0.0.x, and returns what closes them.
func Idle(addr string, n int) (closeAll func(), err error) {
	var open []*conn
	closeAll = func() {
		for _, c := range open {
			_ = c.Close()
		}
	}
	for i := range n {
		c, err := dialFrom(fmt.Sprintf("127.0.0.%d", 2+i/perSource%250), addr)
		if err != nil {
			closeAll()
			return nil, fmt.Errorf("after %d connections: %w", len(open), err)
		}
		c.r = nil // it reads no more
		open = append(open, c)
	}
	return closeAll, nil
}
