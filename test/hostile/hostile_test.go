// Package hostile sends the real binary what no client should, while a polite
// client goes on: the server's memory stays bounded, and the polite client does
// not notice.
package hostile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/test/harness"
)

const (
	// maxRoundTrip bounds what a polite client waits for a record to be
	// acknowledged and read, on a machine that is busy with the attack.
	maxRoundTrip = 5 * time.Second
	// maxGrowth bounds what an attack adds to the server's memory.
	maxGrowth = 256 << 20
	// attackTime is how long one that ends by nothing else lasts.
	attackTime = 4 * time.Second

	connections = 5000
	bait        = "bait"
)

// TestHostileClients runs the attacks one after the other.
func TestHostileClients(t *testing.T) {
	s := harness.Start(t)
	fillBait(t, s)
	for _, a := range []struct {
		name string
		run  func(t *testing.T, address string)
	}{
		{"idle connections", idle},
		{"slow writers", drip},
		{"huge lengths", hugeLengths},
		{"counts beyond the frame", hugeCounts},
		{"half-closed and vanishing", halfOpen},
		{"readers that do not read", deaf},
	} {
		t.Run(a.name, func(t *testing.T) {
			before := memory(t, s)
			p := courteous(t, s)
			a.run(t, s.Kafka())
			trips, slowest := p.end()
			grown := max(memory(t, s)-before, 0)
			t.Logf("%d polite round trips, the slowest in %s; the server grew by %d MiB to %d",
				trips, slowest.Round(time.Millisecond), grown>>20, (before+grown)>>20)
			if slowest > maxRoundTrip || trips == 0 {
				t.Errorf("the polite client made %d round trips and waited up to %s", trips, slowest)
			}
			if grown > maxGrowth {
				t.Errorf("the server grew by %d MiB", grown>>20)
			}
		})
	}
	s.Stop()
}

// polite is a client that produces a record and reads it, again and again.
type polite struct {
	t       *testing.T
	stop    context.CancelFunc
	done    chan error
	trips   int
	slowest time.Duration
}

func courteous(t *testing.T, s *harness.Server) *polite {
	t.Helper()
	topic := strings.ReplaceAll(t.Name(), "/", "-")
	c, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka()), kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic(topic),
		kgo.ProducerLinger(0), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &polite{t: t, stop: stop, done: make(chan error, 1)}
	// The topic is there, and both ways are open, before the attack begins.
	if err := p.trip(context.Background(), c, 0); err != nil {
		t.Fatal(err)
	}
	p.slowest = 0
	go func() {
		defer c.Close()
		for i := 1; ctx.Err() == nil; i++ {
			if err := p.trip(context.Background(), c, i); err != nil {
				p.done <- err
				return
			}
		}
		p.done <- nil
	}()
	return p
}

func (p *polite) trip(ctx context.Context, c *kgo.Client, i int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	began, value := time.Now(), fmt.Sprint(i)
	if err := c.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr(); err != nil {
		return fmt.Errorf("producing record %d: %w", i, err)
	}
	fetches := c.PollFetches(ctx)
	if err := fetches.Err(); err != nil {
		return fmt.Errorf("reading record %d: %w", i, err)
	}
	if all := fetches.Records(); len(all) != 1 || string(all[0].Value) != value {
		return fmt.Errorf("%d records came for record %d", len(all), i)
	}
	p.trips++
	p.slowest = max(p.slowest, time.Since(began))
	return nil
}

func (p *polite) end() (trips int, slowest time.Duration) {
	p.t.Helper()
	p.stop()
	if err := <-p.done; err != nil {
		p.t.Errorf("the polite client failed: %v", err)
	}
	return p.trips, p.slowest
}

// memory returns what the server holds in memory, in bytes.
func memory(t *testing.T, s *harness.Server) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid()))
	if err != nil {
		t.Skipf("this system does not tell what a process holds: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			var kb int64
			if _, err := fmt.Sscan(rest, &kb); err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Skip("this system does not tell what a process holds")
	return 0
}

// dial opens n connections. It raises the limit of open files as far as it may.
func dial(t *testing.T, address string, n int) []*net.TCPConn {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < uint64(n)+500 {
		if limit.Max < uint64(n)+500 {
			t.Skipf("%d connections need as many open files, and this process may have %d", n, limit.Max)
		}
		limit.Cur = limit.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Skipf("the limit of open files cannot be raised: %v", err)
		}
	}
	all := make([]*net.TCPConn, n)
	for i := range all {
		c, err := net.DialTimeout("tcp", address, 10*time.Second)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		all[i] = c.(*net.TCPConn)
		t.Cleanup(func() { _ = c.Close() })
	}
	return all
}

// send writes to a connection that the server may have closed.
func send(c net.Conn, b []byte) bool {
	_ = c.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_, err := c.Write(b)
	return err == nil
}

// request frames one.
func request(req kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("hostile")).AppendRequest(nil, req, 1)
}

// idle is thousands of clients that ask once and then say nothing.
func idle(t *testing.T, address string) {
	hello := request(kmsg.NewPtrApiVersionsRequest())
	for _, c := range dial(t, address, connections) {
		send(c, hello)
	}
	<-time.After(attackTime)
}

// drip is clients that announce a large request and send a byte now and then.
func drip(t *testing.T, address string) {
	all := dial(t, address, 200)
	for _, c := range all {
		send(c, binary.BigEndian.AppendUint32(nil, 8<<20))
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(attackTime); time.Now().Before(end); <-tick.C {
		for _, c := range all {
			send(c, []byte{0})
		}
	}
}

// hugeLengths is clients that announce more than any request may have, or as
// much as one may, and send little.
func hugeLengths(t *testing.T, address string) {
	all := dial(t, address, 600)
	for i, c := range all {
		length := []uint32{0x7fffffff, 0xffffffff, 64 << 20, 16 << 20}[i%4]
		send(c, append(binary.BigEndian.AppendUint32(nil, length), 0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff))
	}
	for i, c := range all {
		if i%4 < 2 {
			closed(t, c)
		}
	}
	<-time.After(attackTime / 2)
}

// hugeCounts is requests whose arrays claim more elements than they have bytes.
func hugeCounts(t *testing.T, address string) {
	heads := map[string][]byte{ // operation, version; what is before the count
		"metadata":      {0, 3, 0, 1},
		"list offsets":  {0, 2, 0, 1, 0xff, 0xff, 0xff, 0xff},
		"fetch":         {0, 1, 0, 4, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0},
		"create topics": {0, 19, 0, 0},
		"describe":      {0, 15, 0, 0},
		"produce":       {0, 0, 0, 3, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x10, 0},
	}
	var all []*net.TCPConn
	for name, b := range heads {
		for _, count := range []uint32{0x7fffffff, 1 << 24, 1 << 16} {
			for _, c := range dial(t, address, 20) {
				body := append([]byte{}, b[:4]...)
				body = append(body, 0, 0, 0, 1, 0xff, 0xff) // correlation, no client id
				body = binary.BigEndian.AppendUint32(append(body, b[4:]...), count)
				body = append(body, make([]byte, 64)...)
				if !send(c, append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)) {
					t.Errorf("%s: the server hung up before the request", name)
				}
				all = append(all, c)
			}
		}
	}
	for _, c := range all {
		closed(t, c)
	}
}

// halfOpen is clients that close their half, and clients that vanish in the
// middle of a request, or without a word to the server's answer.
func halfOpen(t *testing.T, address string) {
	hello := request(kmsg.NewPtrApiVersionsRequest())
	for i, c := range dial(t, address, 1500) {
		switch i % 3 {
		case 0: // what was asked is answered, then the server closes too
			send(c, hello)
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			closed(t, c)
		case 1: // half a request, then a reset
			send(c, hello[:len(hello)/2])
			_ = c.SetLinger(0)
			_ = c.Close()
		case 2: // a request whose answer nobody takes
			send(c, hello)
			_ = c.SetLinger(0)
			_ = c.Close()
		}
	}
}

// deaf is clients that ask for as much as a server lets a client have under way,
// and read nothing. (More requests than that would only fill the kernel's
// buffers, and keep this machine busy with itself.)
func deaf(t *testing.T, address string) {
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(11)
	req.MaxBytes, req.MinBytes = 8<<20, 1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = bait
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.PartitionMaxBytes = 8 << 20
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	frame := request(req)
	for _, c := range dial(t, address, 100) {
		_ = c.SetReadBuffer(4096)
		if !send(c, bytes.Repeat(frame, 100)) {
			t.Error("the server takes no requests")
		}
	}
	<-time.After(attackTime)
}

// closed waits until the server hangs up.
func closed(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the server does not hang up")
	}
}

// fillBait writes what the deaf clients ask for.
func fillBait(t *testing.T, s *harness.Server) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka()), kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic(bait),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 16 {
		c.Produce(context.Background(), &kgo.Record{Value: make([]byte, 900_000), Partition: 0}, nil)
	}
	if err := c.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
}
