package brokertest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

// TestManyGoroutines runs a node with all its goroutines, as a server does, for
// the race detector: producers, readers that poll, and topics that come and go
// under them. Every producer's records must arrive at its reader in order.
func TestManyGoroutines(t *testing.T) {
	br := live(t, vfs.NewMem(), "data")
	const producers, records = 6, 300
	stay := createLive(t, br, "stay", producers)
	var wg sync.WaitGroup
	for i, p := range stay.Partitions {
		wg.Go(func() { produceLive(t, p, i, records) })
		wg.Go(func() { pollLive(t, br, p, i, records) })
	}
	wg.Go(func() {
		for i := range 20 {
			name := fmt.Sprintf("passing-%d", i%3)
			topic := createLive(t, br, name, 3)
			a := &broker.Append{Batch: Batch("x")}
			answered := make(chan error, 1)
			a.Done = func(a *broker.Append) { answered <- a.Err }
			topic.Partitions[i%3].Append(a)
			deleteLive(t, br, name)
			if err := <-answered; err != nil && !errors.Is(err, broker.ErrUnknownPartition) {
				t.Errorf("appending to a topic that is being deleted: %v", err)
			}
			for range br.Topics() {
				_ = br.Topic("stay").Partitions[0].Size()
			}
		}
	})
	wg.Wait()
}

func createLive(t *testing.T, br *broker.Broker, name string, partitions int32) *broker.Topic {
	t.Helper()
	done := make(chan broker.TopicResult, 1)
	br.CreateTopics([]broker.NewTopic{{Name: name, Partitions: partitions, Replication: -1}}, false,
		func(r []broker.TopicResult) { done <- r[0] })
	r := <-done
	if r.Err != nil {
		t.Errorf("creating %s: %v", name, r.Err)
	}
	return r.Topic
}

func deleteLive(t *testing.T, br *broker.Broker, name string) {
	t.Helper()
	done := make(chan broker.TopicResult, 1)
	br.DeleteTopics([]broker.TopicRef{{Name: name}}, func(r []broker.TopicResult) { done <- r[0] })
	if r := <-done; r.Err != nil {
		t.Errorf("deleting %s: %v", name, r.Err)
	}
}

// produceLive keeps up to three batches under way.
func produceLive(t *testing.T, p *broker.Partition, id, records int) {
	t.Helper()
	free := make(chan *broker.Append, 3)
	for range cap(free) {
		free <- &broker.Append{Done: func(a *broker.Append) { free <- a }}
	}
	for i := range records {
		a := <-free
		if a.Err != nil {
			t.Errorf("producer %d: %v", id, a.Err)
		}
		a.Batch = Sequenced(int64(id), 0, int32(i), fmt.Sprint(i))
		p.Append(a)
	}
	for range cap(free) {
		if a := <-free; a.Err != nil {
			t.Errorf("producer %d: %v", id, a.Err)
		}
	}
}

// pollLive reads what the producer writes as it comes.
func pollLive(t *testing.T, br *broker.Broker, p *broker.Partition, id, records int) {
	t.Helper()
	woken := make(chan struct{}, 1)
	w := br.NewWaiter(func() { woken <- struct{}{} })
	defer w.Cancel()
	for next := record.Offset(0); next < record.Offset(records); {
		seen := p.HighWatermark()
		if seen == next {
			w.Wait([]broker.Interest{{Partition: p, Seen: seen}}, 1, time.Minute)
			<-woken
			continue
		}
		values, err := ReadValues(p, next)
		if err != nil {
			t.Errorf("reader %d: %v", id, err)
			return
		}
		for _, v := range values {
			if v != fmt.Sprint(next) {
				t.Errorf("reader %d: %q at %d", id, v, next)
			}
			next++
		}
	}
}
