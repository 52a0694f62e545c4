package amqp

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polylog-mq/polylog/bench/load"
)

// Consume is a load of consumers, each of one queue, that acknowledge every
// message by itself.
type Consume struct {
	Addr        string
	Prefix      string
	Queues      int // connection i consumes queue i modulo Queues
	Connections int
	Prefetch    int
	Size        int // bytes of body, to count them
	// Messages ends the load when so many have come; 0: when ctx is done.
	Messages int64
}

// Run drives the load and returns what came in how long.
func (l Consume) Run(ctx context.Context) (load.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var total atomic.Int64
	errs := make([]error, l.Connections)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range l.Connections {
		wg.Go(func() {
			errs[i] = l.one(ctx, i, &total, cancel)
		})
	}
	wg.Wait()
	took := time.Since(began)
	for i, err := range errs {
		if err != nil {
			return load.Result{}, fmt.Errorf("consumer %d: %w", i, err)
		}
	}
	n := total.Load()
	return load.Result{Requests: n, Records: n, Bytes: n * int64(l.Size), Seconds: took.Seconds()}, nil
}

// one is one consumer. Acknowledgements gather while there is something to
// read.
func (l Consume) one(ctx context.Context, id int, total *atomic.Int64, enough func()) error {
	c, err := dial(l.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if _, err := c.call(1, basicQos, args{}.u32(0).u16(uint16(l.Prefetch)).u8(0), basicQosOk); err != nil {
		return err
	}
	consume := args{}.u16(0).short(l.Prefix + strconv.Itoa(id%l.Queues)).short("").u8(0).u32(0)
	if _, err := c.call(1, basicConsume, consume, basicConsumeOk); err != nil {
		return err
	}
	ack := appendMethod(nil, 1, basicAck, args{}.u64(0).u8(0))
	var acks []byte
	for {
		if len(acks) > 0 && (c.r.Buffered() == 0 || len(acks) > 16<<10) {
			if _, err := c.Write(acks); err != nil {
				return ended(ctx, err)
			}
			acks = acks[:0]
		}
		kind, payload, err := c.frame()
		if err != nil {
			return ended(ctx, err)
		}
		if kind != frameMethod {
			continue
		}
		switch binary.BigEndian.Uint32(payload) {
		case connectionClose, channelClose:
			return closed(payload)
		case basicDeliver:
			tag := payload[5+payload[4]:]
			at := len(acks)
			acks = append(acks, ack...)
			copy(acks[at+11:], tag[:8])
			if n := total.Add(1); l.Messages > 0 && n >= l.Messages {
				_, err := c.Write(acks)
				enough()
				return ended(ctx, err)
			}
		}
	}
}

// ended passes over what follows from the end of the load.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
