package corpus

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// member consumes as part of the group until it is killed: it says what it got,
// then commits, so that what it did not say is delivered to another.
func member(address string) error {
	c, err := kgo.NewClient(
		kgo.SeedBrokers(address), kgo.ConsumerGroup("crew"), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond), kgo.FetchMaxPartitionBytes(64<<10), kgo.BlockRebalanceOnPoll(),
	)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	ctx := context.Background()
	for {
		fetches := c.PollRecords(ctx, 500)
		if err := fetches.Err(); err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			fmt.Fprintln(out, r.Partition, r.Offset, sum(r.Value), string(r.Key), "end")
		})
		if err := out.Flush(); err != nil {
			return err
		}
		if err := c.CommitUncommittedOffsets(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "committing:", err) // a rebalance: it comes again
		}
		c.AllowRebalance()
	}
}
