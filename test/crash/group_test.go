package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// crew is a group of consumers and what it was told: what it was given, and
// which commits were answered.
type crew struct {
	mu    sync.Mutex
	given book
	acked map[int32]int64 // by partition: the largest offset whose commit was answered
	total int
	wrong []string
}

func newCrew() *crew { return &crew{given: book{}, acked: map[int32]int64{}} }

func groupOptions(group, topic string) []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(sessionTime), kgo.HeartbeatInterval(500 * time.Millisecond), kgo.RebalanceTimeout(10 * time.Second),
		kgo.FetchMaxWait(200 * time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}
}

// read is one member. It notes what it is given and commits it.
func (c *crew) read(ctx context.Context, address string) error {
	client, err := client(address, groupOptions("readers", topic)...)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		if err := fatal(fetches); err != nil {
			return err
		}
		at := map[int32]int64{}
		fetches.EachRecord(func(r *kgo.Record) {
			c.take(r)
			at[r.Partition] = r.Offset + 1
		})
		// A failure says nothing: the records come again, or were committed.
		if len(at) > 0 && c.commit(ctx, client, fetches) {
			c.committed(at)
		}
		client.AllowRebalance()
	}
	return nil
}

func (*crew) commit(ctx context.Context, client *kgo.Client, fetches kgo.Fetches) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return client.CommitRecords(ctx, fetches.Records()...) == nil
}

func (c *crew) take(r *kgo.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total++
	var p payload
	if err := json.Unmarshal(r.Value, &p); err != nil {
		c.wrong = append(c.wrong, fmt.Sprintf("partition %d offset %d is not ours: %q", r.Partition, r.Offset, r.Value))
		return
	}
	where := place{r.Partition, r.Offset}
	if before := c.given.get(where); before != (payload{}) && before != p {
		c.wrong = append(c.wrong, fmt.Sprintf("partition %d offset %d was %+v and is now %+v", r.Partition, r.Offset, before, p))
	}
	c.given.put(where, p)
}

func (c *crew) committed(at map[int32]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, o := range at {
		c.acked[p] = max(c.acked[p], o)
	}
}

func (c *crew) commits() map[int32]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.acked)
}

func (c *crew) delivered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// check holds what the group was given against what is there.
func (c *crew) check(t errorer, read map[int32][]found) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.wrong {
		t.Errorf("the group: %s", w)
	}
	for partition, records := range read {
		for _, r := range records {
			if got := c.given.get(place{partition, r.offset}); got == (payload{}) {
				t.Errorf("partition %d offset %d never came to the group", partition, r.offset)
			} else if got != r.payload {
				t.Errorf("partition %d offset %d came to the group as %+v and is %+v", partition, r.offset, got, r.payload)
			}
		}
	}
	for partition, given := range c.given {
		if n := len(read[partition]); len(given) > n {
			t.Errorf("partition %d: the group was given %d records, %d are there", partition, len(given), n)
		}
	}
}

// committed asks for the offsets of the readers.
func committed(t *testing.T, address string) map[int32]int64 {
	return groupOffsets(t, address, "readers")
}

func groupOffsets(t *testing.T, address, group string) map[int32]int64 {
	t.Helper()
	c, err := client(address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req := kmsg.NewPtrOffsetFetchRequest()
	rg := kmsg.NewOffsetFetchRequestGroup()
	rg.Group = group
	req.Groups, req.RequireStable = append(req.Groups, rg), true
	resp, err := retried(ctx, func() (*kmsg.OffsetFetchResponse, error) { return req.RequestWith(ctx, c) })
	if err != nil {
		t.Fatalf("asking for the offsets of %s: %v", group, err)
	}
	at := map[int32]int64{}
	for _, topic := range resp.Groups[0].Topics {
		for _, p := range topic.Partitions {
			at[p.Partition] = max(p.Offset, 0)
		}
	}
	return at
}

// retried asks again while the answer is that it should: a shard is on its way
// up, or a transaction on its way out.
func retried(ctx context.Context, ask func() (*kmsg.OffsetFetchResponse, error)) (*kmsg.OffsetFetchResponse, error) {
	for {
		resp, err := ask()
		if err != nil {
			return nil, err
		}
		err = kerr.ErrorForCode(resp.Groups[0].ErrorCode)
		for _, topic := range resp.Groups[0].Topics {
			for _, p := range topic.Partitions {
				err = errors.Join(err, kerr.ErrorForCode(p.ErrorCode))
			}
		}
		if err == nil {
			return resp, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tally counts transactions.
type tally struct{ done, aborted atomic.Int64 }

// copyOrders copies orders to ledger, each poll in a transaction that commits
// the group's offsets too, and gives up every fifth on purpose. A session whose
// transaction could not be ended is over, and another begins.
func copyOrders(ctx context.Context, address string, who int, n *tally) error {
	opts := append(groupOptions("copiers", orders),
		kgo.TransactionalID(fmt.Sprintf("copier-%d", who)), kgo.TransactionTimeout(20*time.Second),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
		kgo.DefaultProduceTopic(ledger), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for ctx.Err() == nil {
		s, err := kgo.NewGroupTransactSession(append(clientOptions(address), opts...)...)
		if err != nil {
			return err
		}
		err = copySession(ctx, s, n)
		s.CloseAllowingRebalance()
		if err != nil && !retriable(err) {
			return err
		}
	}
	return nil
}

func copySession(ctx context.Context, s *kgo.GroupTransactSession, n *tally) error {
	for i := 0; ctx.Err() == nil; i++ {
		fetches := s.PollRecords(ctx, 500)
		if err := fatal(fetches); err != nil {
			return err
		}
		if fetches.NumRecords() > 0 {
			committed, err := copyBatch(s, fetches, i%5 == 4)
			if err != nil {
				return err
			}
			if committed {
				n.done.Add(1)
			} else {
				n.aborted.Add(1)
			}
		}
		s.AllowRebalance()
	}
	return nil
}

func copyBatch(s *kgo.GroupTransactSession, fetches kgo.Fetches, giveUp bool) (bool, error) {
	if err := s.Begin(); err != nil {
		return false, fmt.Errorf("beginning a transaction: %w", err)
	}
	fetches.EachRecord(func(r *kgo.Record) {
		s.Produce(context.Background(), &kgo.Record{Partition: r.Partition, Value: r.Value}, nil)
	})
	end := kgo.TryCommit
	if giveUp {
		end = kgo.TryAbort
	}
	// A member that is thrown out during a poll waits for the poll to end, and
	// the transaction's end for the member: the client leaves it to this bound.
	ctx, cancel := context.WithTimeout(context.Background(), 2*sessionTime)
	defer cancel()
	committed, err := s.End(ctx, end)
	if err != nil {
		return false, fmt.Errorf("ending a transaction: %w", err)
	}
	return committed, nil
}
