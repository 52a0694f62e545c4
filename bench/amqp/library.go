package amqp

import (
	"context"
	"fmt"
	"strconv"
	"time"

	rabbit "github.com/rabbitmq/amqp091-go"

	"github.com/polylog-mq/polylog/bench/load"
)

// libraryTime bounds what a Consume may take.
const libraryTime = 5 * time.Minute

// Library is a load that goes by amqp091-go, as its users see it: one connection
// with one channel. Where the client is the bottleneck, the servers differ in
// processor time alone.
type Library struct {
	Addr     string
	Prefix   string // of the queue's name
	Size     int    // bytes of body
	Window   int    // unconfirmed, or unacknowledged, messages
	Warmup   time.Duration
	Duration time.Duration
}

func (l Library) open() (*rabbit.Connection, *rabbit.Channel, error) {
	c, err := rabbit.Dial("amqp://guest:guest@" + l.Addr + "/")
	if err != nil {
		return nil, nil, fmt.Errorf("dial: %w", err)
	}
	ch, err := c.Channel()
	if err != nil {
		_ = c.Close()
		return nil, nil, fmt.Errorf("open a channel: %w", err)
	}
	return c, ch, nil
}

// Publish publishes persistent messages with confirms. The latency is that from
// the call to the confirmation. onCount runs when counting begins, onEnd when it
// ends.
func (l Library) Publish(ctx context.Context, onCount, onEnd func()) (load.Result, error) {
	c, ch, err := l.open()
	if err != nil {
		return load.Result{}, err
	}
	defer func() { _ = c.Close() }()
	if err := ch.Confirm(false); err != nil {
		return load.Result{}, fmt.Errorf("select confirms: %w", err)
	}
	type sent struct {
		at time.Time
		*rabbit.DeferredConfirmation
	}
	window := make([]sent, l.Window)
	key, body, latency := l.Prefix+strconv.Itoa(0), make([]byte, l.Size), load.NewHistogram()
	var counted int64
	begin := time.Now().Add(l.Warmup)
	for n, counting := 0, false; ; n++ {
		now := time.Now()
		if !counting && now.After(begin) {
			counting = true
			onCount()
		}
		if now.After(begin.Add(l.Duration)) {
			onEnd()
			break
		}
		slot := &window[n%l.Window]
		if slot.DeferredConfirmation != nil {
			if ok, err := slot.WaitContext(ctx); err != nil || !ok {
				return load.Result{}, fmt.Errorf("a message was not confirmed: %v", err)
			}
			if counting {
				load.Record(latency, time.Since(slot.at))
				counted++
			}
		}
		slot.at = time.Now()
		slot.DeferredConfirmation, err = ch.PublishWithDeferredConfirmWithContext(ctx, "", key, false, false,
			rabbit.Publishing{DeliveryMode: rabbit.Persistent, Body: body})
		if err != nil {
			return load.Result{}, fmt.Errorf("publish: %w", err)
		}
	}
	return load.Result{
		Requests: counted, Records: counted, Bytes: counted * int64(l.Size), Seconds: l.Duration.Seconds(),
		Latency: load.Summarize(latency),
	}, nil
}

// Consume takes so many messages, acknowledging each.
func (l Library) Consume(ctx context.Context, messages int64) (load.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, libraryTime)
	defer cancel()
	c, ch, err := l.open()
	if err != nil {
		return load.Result{}, err
	}
	defer func() { _ = c.Close() }()
	if err := ch.Qos(l.Window, 0, false); err != nil {
		return load.Result{}, fmt.Errorf("set the prefetch: %w", err)
	}
	began := time.Now()
	deliveries, err := ch.ConsumeWithContext(ctx, l.Prefix+strconv.Itoa(0), "", false, false, false, false, nil)
	if err != nil {
		return load.Result{}, fmt.Errorf("consume: %w", err)
	}
	for n := int64(0); n < messages; n++ {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return load.Result{}, fmt.Errorf("the channel ended after %d of %d messages", n, messages)
			}
			if err := d.Ack(false); err != nil {
				return load.Result{}, fmt.Errorf("acknowledge: %w", err)
			}
		case <-ctx.Done():
			return load.Result{}, fmt.Errorf("%d of %d messages came: %w", n, messages, ctx.Err())
		}
	}
	return load.Result{
		Requests: messages, Records: messages, Bytes: messages * int64(l.Size), Seconds: time.Since(began).Seconds(),
	}, nil
}
