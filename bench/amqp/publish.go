package amqp

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"github.com/polylog-mq/polylog/bench/load"
)

// Publish is a load of persistent messages in confirm mode.
type Publish struct {
	Addr        string
	Prefix      string // of the queues' names
	Queues      int    // they take turns
	Exchange    string // "" sends to the queues by name
	Size        int    // bytes of body
	Connections int
	InFlight    int // unconfirmed messages per connection, 1 and up
	Warmup      time.Duration
	Duration    time.Duration
}

// Run drives the load; onCount runs when counting begins, onEnd when it ends.
// The latency is that from sending to confirmation.
func (p Publish) Run(ctx context.Context, onCount, onEnd func()) (load.Result, error) {
	begin := time.Now().Add(p.Warmup)
	end := begin.Add(p.Duration)
	ctx, cancel := context.WithDeadline(ctx, end.Add(timeout))
	defer cancel()
	time.AfterFunc(p.Warmup, onCount)
	ended := make(chan struct{})
	time.AfterFunc(p.Warmup+p.Duration, func() { onEnd(); close(ended) })
	workers := make([]publisher, p.Connections)
	errs := make([]error, p.Connections)
	var wg sync.WaitGroup
	for i := range workers {
		w := &workers[i]
		w.load, w.begin, w.end, w.latency = p, begin, end, load.NewHistogram()
		wg.Go(func() { errs[i] = w.run(ctx, i) })
	}
	wg.Wait()
	<-ended
	total := load.NewHistogram()
	var n int64
	for i := range workers {
		if errs[i] != nil {
			return load.Result{}, fmt.Errorf("publisher %d: %w", i, errs[i])
		}
		total.Merge(workers[i].latency)
		n += workers[i].counted
	}
	return load.Result{
		Requests: n, Records: n, Bytes: n * int64(p.Size), Seconds: p.Duration.Seconds(), Latency: load.Summarize(total),
	}, nil
}

// publisher is one connection of a Publish load: a goroutine that sends and one
// that reads confirmations.
type publisher struct {
	load       Publish
	begin, end time.Time
	latency    *hdr.Histogram
	counted    int64

	sent      atomic.Uint64 // messages
	confirmed atomic.Uint64 // messages, all up to this one
	times     []int64       // when each was sent, a ring
	wake      chan struct{}
	over      atomic.Bool
}

func (w *publisher) run(ctx context.Context, id int) error {
	c, err := dial(w.load.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if _, err := c.call(1, confirmSelect, args{}.u8(0), confirmSelectOk); err != nil {
		return err
	}
	w.times, w.wake = make([]int64, w.load.InFlight), make(chan struct{}, 1)
	failed := make(chan error, 1)
	go func() {
		err := w.send(c, w.messages(id))
		if err == nil {
			_ = c.Close() // receive may wait for a confirmation of what was not sent any more
		}
		failed <- err
	}()
	err = w.receive(c)
	w.over.Store(true)
	w.signal()
	if sendErr := <-failed; err == nil {
		err = sendErr
	}
	return err
}

func (w *publisher) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// messages encodes a message for every queue.
func (w *publisher) messages(id int) [][]byte {
	body := make([]byte, w.load.Size)
	rng := rand.NewChaCha8([32]byte{byte(id)})
	_, _ = rng.Read(body) // it never fails
	n := w.load.Queues
	if w.load.Exchange != "" {
		n = 1
	}
	all := make([][]byte, n)
	for i := range all {
		key := w.load.Prefix + strconv.Itoa((i+id)%n)
		b := appendMethod(nil, 1, basicPublish, args{}.u16(0).short(w.load.Exchange).short(key).u8(0))
		header := args{}.u16(60).u16(0).u64(uint64(len(body))).u16(1 << 12).u8(2) // persistent
		b = appendFrame(b, frameHeader, 1, header.b)
		for at := 0; at < len(body); at += 100_000 {
			b = appendFrame(b, frameBody, 1, body[at:min(at+100_000, len(body))])
		}
		all[i] = b
	}
	return all
}

// send writes as many messages at a time as the window has room for.
func (w *publisher) send(c *conn, messages [][]byte) error {
	var buf []byte
	next := 0
	for {
		sent := w.sent.Load()
		room := uint64(w.load.InFlight) - (sent - w.confirmed.Load())
		now := time.Now()
		switch {
		case w.over.Load():
			return nil
		case now.After(w.end):
			return nil
		case room == 0:
			<-w.wake
			continue
		}
		buf = buf[:0]
		for ; room > 0 && len(buf) < 64<<10; room-- {
			w.times[sent%uint64(w.load.InFlight)] = now.UnixNano()
			buf = append(buf, messages[next]...)
			next = (next + 1) % len(messages)
			sent++
		}
		w.sent.Store(sent)
		if _, err := c.Write(buf); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
}

// receive reads confirmations until the load is over.
func (w *publisher) receive(c *conn) error {
	single := map[uint64]bool{} // confirmed out of turn
	for time.Now().Before(w.end) {
		kind, payload, err := c.frame()
		if err != nil && !time.Now().Before(w.end) {
			return nil
		}
		if err != nil {
			return err
		}
		if kind != frameMethod {
			continue
		}
		switch binary.BigEndian.Uint32(payload) {
		case connectionClose, channelClose:
			return closed(payload)
		case basicNack:
			return fmt.Errorf("a message was refused")
		case basicAck:
			w.confirm(binary.BigEndian.Uint64(payload[4:]), payload[12]&1 == 1, single)
		}
	}
	return nil
}

// confirm takes the confirmation of message tag, counted from 1, and with
// multiple of all before it.
func (w *publisher) confirm(tag uint64, multiple bool, single map[uint64]bool) {
	now := time.Now()
	counts := now.After(w.begin) && now.Before(w.end)
	done := w.confirmed.Load()
	one := func(n uint64) {
		if counts {
			load.Record(w.latency, time.Duration(now.UnixNano()-w.times[(n-1)%uint64(w.load.InFlight)]))
			w.counted++
		}
	}
	if !multiple && tag != done+1 {
		single[tag] = true
		one(tag)
		return
	}
	for ; done < tag; done++ {
		if single[done+1] {
			delete(single, done+1)
		} else {
			one(done + 1)
		}
	}
	for single[done+1] {
		delete(single, done+1)
		done++
	}
	w.confirmed.Store(done)
	w.signal()
}
