package kafka

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/listen"
	"github.com/polylog-mq/polylog/internal/record"
)

// answersTo reads the answers to produce requests 0 to n-1, in their order, and
// returns the base offset of each.
func (c *client) answersTo(n int) (bases []int64) {
	c.t.Helper()
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = 9
	for i := range n {
		var head [4]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			c.t.Fatalf("answer %d: %v", i, err)
		}
		b := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(c, b); err != nil {
			c.t.Fatalf("answer %d: %v", i, err)
		}
		if got := binary.BigEndian.Uint32(b); got != uint32(i) {
			c.t.Fatalf("answer %d is to request %d", i, got)
		}
		if err := resp.ReadFrom(b[5:]); err != nil {
			c.t.Fatal(err)
		}
		p := resp.Topics[0].Partitions[0]
		if p.ErrorCode != errNone {
			c.t.Fatalf("request %d is refused with %d", i, p.ErrorCode)
		}
		bases = append(bases, p.BaseOffset)
	}
	return bases
}

// rises checks that offsets are 0, 1, 2 and so on.
func rises(t *testing.T, bases []int64) {
	t.Helper()
	for i, base := range bases {
		if base != int64(i) {
			t.Fatalf("request %d got offset %d: the order was not kept", i, base)
		}
	}
}

// TestRequestsInPieces: requests of all sizes, cut anywhere, go to and fro
// between the poller and the connection's goroutine, and none is lost, doubled
// or overtaken.
func TestRequestsInPieces(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	rng := rand.New(rand.NewPCG(1, 2))
	const requests = 400
	var all []byte
	for i := range requests {
		size := rng.IntN(200)
		if rng.IntN(10) == 0 {
			size = rng.IntN(3 * maxLent)
		}
		batch := batchOf(t, record.Template(record.None), now(), strings.Repeat("x", size))
		all = append(all, frameOf(produceRequest(9, "t", [16]byte{}, batch), int32(i))...)
	}
	sent := make(chan error, 1)
	go func() {
		for len(all) > 0 {
			n := min(len(all), 1+rng.IntN(1000))
			if rng.IntN(5) == 0 {
				n = min(len(all), 1+rng.IntN(200_000))
			}
			if _, err := r.client.Write(all[:n]); err != nil {
				sent <- err
				return
			}
			all = all[n:]
		}
		sent <- nil
	}()
	rises(t, r.answersTo(requests))
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// TestBatchesThatAreLookedInside: what the poller leaves to the connection's
// goroutine stays before what comes behind it.
func TestBatchesThatAreLookedInside(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1, broker.Config{Name: "cleanup.policy", Value: "compact"})
	const requests = 40
	var all []byte
	for i := range requests {
		codec := record.None
		if i%3 == 0 {
			codec = record.LZ4
		}
		batch := batchOf(t, record.Template(codec), now(), "x")
		all = append(all, frameOf(produceRequest(9, "t", [16]byte{}, batch), int32(i))...)
	}
	r.client.write(all)
	rises(t, r.answersTo(requests))
}

// TestLastWordsWithoutAnAnswer: a client that wants no answers and leaves at once
// is served and forgotten.
func TestLastWordsWithoutAnAnswer(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	req := produceRequest(9, "t", [16]byte{}, batchOf(t, record.Template(record.None), now(), "x"))
	req.Acks = 0
	for range 20 {
		c := dial(t, r.address)
		c.write(frameOf(req, 1))
		_ = c.Close()
	}
	end := time.Now().Add(20 * time.Second)
	for len(r.server.gate.Open()) > 1 { // r's own
		if time.Now().After(end) {
			t.Fatalf("%d connections are still open", len(r.server.gate.Open()))
		}
	}
	if base := r.produce(9, "t", [16]byte{}, batchOf(t, record.Template(record.None), now(), "x"))[0].BaseOffset; base != 20 {
		t.Errorf("%d of 20 requests were served", base)
	}
}

// TestALoneClientIsReadByItsOwn goroutine, which can do more for it.
func TestALoneClientIsReadByItsOwn(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	for range 100 {
		r.produce(9, "t", [16]byte{}, batchOf(t, record.Template(record.None), now(), "x"))
	}
	c := r.server.gate.Open()[0]
	_ = r.client.Close()
	end := time.Now().Add(20 * time.Second)
	for len(r.server.gate.Open()) > 0 {
		if time.Now().After(end) {
			t.Fatal("the connection is still open")
		}
	}
	if c.session.patience == 0 {
		t.Error("it was read by the poller to the end")
	}
}

// TestWhoDoesNotReadHoldsUpNobody: not even those that the same goroutine reads.
func TestWhoDoesNotReadHoldsUpNobody(t *testing.T) {
	r := newRig(t, func(s *Server) { s.poller = listen.NewPoller(1) })
	r.topic("t", 1)
	deaf := r.narrowed()
	batch := batchOf(t, record.Template(record.None), now(), "x")
	frame := frameOf(produceRequest(9, "t", [16]byte{}, batch), 1)
	for n := len(frame); n == len(frame); { // until neither socket takes more
		if err := deaf.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, _ = deaf.Write(frame)
	}
	for range 3 {
		c := dial(t, r.address)
		c.ask(produceRequest(9, "t", [16]byte{}, batch))
	}
}

// TestManyConnectionsAllocateLittle is a gate on the steady path, like
// TestProduceAllocatesLittle, for requests that each come on a connection of
// their own.
func TestManyConnectionsAllocateLittle(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes pools forget")
	}
	r := newRig(t)
	r.topic("t", 1)
	frame := frameOf(produceRequest(9, "t", [16]byte{}, batchOf(t, record.Template(record.None), now(), "x")), 1)
	clients := make([]*client, 64)
	for i := range clients {
		clients[i] = dial(t, r.address)
	}
	buf := make([]byte, 1<<12)
	entries := r.store.Stats().Appends.Load()
	n := testing.AllocsPerRun(100, func() {
		for _, c := range clients {
			c.write(frame)
		}
		for _, c := range clients {
			c.skip(buf)
		}
	})
	perRun := float64(r.store.Stats().Appends.Load()-entries) / 101
	if own := (n - perEntry*perRun) / float64(len(clients)); own > 0.5 {
		t.Errorf("%v allocations for %d requests in %.1f entries: %.1f for each request", n, len(clients), perRun, own)
	}
}
