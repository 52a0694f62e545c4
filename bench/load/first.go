package load

import (
	"context"
	"fmt"
	"time"
)

// FirstAck tries to produce one record of 100 B to partition 0 of a topic until
// it is acknowledged, for up to two minutes.
func FirstAck(ctx context.Context, addr, topic string) error {
	p := Produce{Addr: addr, Topic: topic, Partitions: 1, Records: 1, Size: 100, InFlight: 1}
	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := p.one(ctx)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("nothing was acknowledged: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
}

// one sends one request and waits for its answer.
func (p Produce) one(ctx context.Context) error {
	c, err := dial(p.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	w := producer{load: p, latency: NewHistogram()}
	r, err := w.request()
	if err != nil {
		return err
	}
	if _, err := c.Write(r.frame); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return w.answer(c, time.Now())
}
