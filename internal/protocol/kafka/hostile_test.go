package kafka

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/record"
)

// impatient makes a server give up on a client soon.
func impatient(s *Server) {
	s.times = timeouts{idle: 300 * time.Millisecond, read: 100 * time.Millisecond, write: 100 * time.Millisecond}
}

func TestIdleClientsAreDisconnected(t *testing.T) {
	r := newRig(t, impatient)
	dial(t, r.address).closed()
}

func TestAClientThatWaitsIsNotIdle(t *testing.T) {
	r := newRig(t, impatient)
	r.topic("t", 1)
	c := dial(t, r.address)
	req := fetchRequest(11, "t", [16]byte{}, 0)
	req.MaxWaitMillis = 1000
	c.ask(req)
	c.closed()
}

func TestHalfARequestIsNotWaitedForForLong(t *testing.T) {
	r := newRig(t, impatient)
	for name, b := range map[string][]byte{
		"a length":         {0, 0, 0, 100},
		"half a header":    {0, 0, 0, 100, 0, 18, 0},
		"the announcement": binary.BigEndian.AppendUint32(nil, maxProduceFrame),
		"half a frame":     append([]byte{0, 0, 0x40, 0, 0, 0, 0, 9, 0, 0, 0, 1}, make([]byte, 5000)...),
		"half a large one": append([]byte{0, 0x40, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1}, make([]byte, 100_000)...),
	} {
		c := dial(t, r.address)
		c.write(b)
		start := time.Now()
		c.closed()
		if waited := time.Since(start); waited > 10*time.Second {
			t.Errorf("%s: waited for %v", name, waited)
		}
	}
}

// TestAnnouncedBytesCostLittle: who announces much and sends little gets room
// for little.
func TestAnnouncedBytesCostLittle(t *testing.T) {
	for _, sent := range []int{0, firstRead, 10 * firstRead} {
		here, there := net.Pipe()
		c := &conn{nc: here, in: bufio.NewReaderSize(here, readBuffer), pipe: newPipeline()}
		c.session = newSession(bareServer(), netip.AddrPort{}, netip.AddrPort{})
		go func() {
			b := append(binary.BigEndian.AppendUint32(nil, maxProduceFrame), 0, 0, 0, 9, 0, 0, 0, 1)
			_, _ = there.Write(append(b, make([]byte, sent)...))
			_ = there.Close()
		}()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := c.readFrame()
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Fatalf("%d sent: a frame came of it", sent)
		}
		most := uint64(2*readGrowth*(sent+firstRead) + largeFrameRoom)
		if got := after.TotalAlloc - before.TotalAlloc; got > most {
			t.Errorf("%d bytes sent: %d allocated, want at most %d", sent, got, most)
		}
	}
}

// largeFrameRoom allows for what the pools round up to.
const largeFrameRoom = 1 << 20

func TestAClientThatNeverReadsIsDisconnected(t *testing.T) {
	r := newRig(t, impatient)
	r.topic("t", 1)
	r.write("t", strings.Repeat("x", 900_000))
	c := dial(t, r.address)
	if err := c.Conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	frame := frameOf(fetchRequest(11, "t", [16]byte{}, 0), 1)
	// The sockets take some answers, then none, and the server stops reading.
	for {
		if err := c.SetWriteDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, err := c.Write(frame)
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			t.Fatal("still connected")
		}
		if err != nil {
			return
		}
	}
}

// FuzzRequests: whatever body comes under whatever key and version, the server
// answers or disconnects.
func FuzzRequests(f *testing.F) {
	r := newRig(f)
	id := r.topic("t", 1)
	batch := batchOf(f, record.Template(record.None), now(), "a")
	for i := range apis {
		for version := apis[i].served.min; version <= apis[i].served.max; version++ {
			req := kmsg.RequestForKey(apis[i].key)
			example(reflect.ValueOf(req).Elem(), id, batch)
			req.SetVersion(version)
			f.Add(apis[i].key, version, req.AppendTo(nil))
		}
	}
	captured(f, func(key, version int16, body []byte) { f.Add(key, version, body) })
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		if len(body) > 1<<16 {
			return
		}
		b := []byte{0, 0, 0, 0}
		b = binary.BigEndian.AppendUint16(b, uint16(key))
		b = binary.BigEndian.AppendUint16(b, uint16(version))
		b = append(b, 0, 0, 0, 1, 0xff, 0xff)
		if row := r.server.table.lookup(key); row != nil && row.served.has(version) && kmsgFlexible(key, version) {
			b = append(b, 0)
		}
		b = append(b, body...)
		// A second request shows that the first was dealt with.
		binary.BigEndian.PutUint32(b, uint32(len(b)-4))
		c := dial(t, r.address)
		c.write(append(b, frameOf(apiVersionsRequest(0), 2)...))
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.drainUntilClosed()
	})
}

// captured goes over the requests of real clients in testdata/captured.txt, which
// says how it was made.
func captured(t testing.TB, yield func(key, version int16, body []byte)) {
	t.Helper()
	text, err := os.ReadFile("testdata/captured.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var suite, body string
		var key, version int16
		if _, err := fmt.Sscan(line, &suite, &key, &version, &body); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		b, err := hex.DecodeString(body)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		yield(key, version, b)
	}
}

// TestCapturedRequestsAreOfVersionsServed: what real clients sent is what a
// server that answered ApiVersions serves, and each is answered.
func TestCapturedRequestsAreOfVersionsServed(t *testing.T) {
	r := newRig(t)
	n := 0
	captured(t, func(key, version int16, _ []byte) {
		if row := r.server.table.lookup(key); row == nil || !row.served.has(version) && key != 18 {
			t.Errorf("operation %d, version %d", key, version)
		}
		n++
	})
	if n < 100 {
		t.Errorf("only %d requests were captured", n)
	}
}

func kmsgFlexible(key, version int16) bool {
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	return req.IsFlexible()
}

// drainUntilClosed reads whatever comes until the server hangs up.
func (c *client) drainUntilClosed() {
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); err != nil {
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				c.t.Fatal("the server neither answers nor hangs up")
			}
			return
		}
	}
}
