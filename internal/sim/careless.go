package sim

import (
	"math"
	"strings"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/group"
	"github.com/polylog-mq/polylog/internal/state/txn"
)

// careless sends what makes no sense. Commands are logged before they are
// judged: what the log cannot digest would end every node, again at every start.
// Nothing is asked of the answers but that the nodes live on.
type careless struct {
	w      *world
	ending bool
}

func (c *careless) begin()       { c.w.after(around(c.w.clients, time.Second), c.tick) }
func (c *careless) finish()      { c.ending = true }
func (c *careless) busy() string { return "" }

func (c *careless) tick() {
	if c.ending {
		return
	}
	c.w.after(around(c.w.clients, time.Second), c.tick)
	c.w.cover.Nonsense++
	n := c.w.anyone()
	if l := c.w.leader(record.ShardID(c.w.clients.IntN(c.w.o.Shards + 1))); l != nil {
		n = l
	}
	c.w.ask(n, 0, func(b *broker.Broker, _ func(func())) {
		switch c.w.clients.IntN(5) {
		case 0:
			c.records(b)
		case 1:
			c.offsets(b)
		case 2:
			c.membership(b)
		case 3:
			c.transactions(b)
		default:
			c.topics(b)
		}
	}, func() {})
}

// odd returns a number that is rarely meant.
func (c *careless) odd() int64 {
	all := []int64{-1, 0, 1, -2, math.MaxInt64, math.MinInt64, math.MaxInt32, math.MinInt32, 1 << 40, -1 << 40}
	return all[c.w.clients.IntN(len(all))]
}

func (c *careless) name() string {
	all := []string{"", "junk", ".", "..", "a/b", "\x00", strings.Repeat("x", 250), strings.Repeat("y", group.MaxName+1), "junk-2"}
	return all[c.w.clients.IntN(len(all))]
}

// records sends well-formed batches from odd producers, at odd times, to a
// topic of its own.
func (c *careless) records(b *broker.Broker) {
	p := partitionAt(b, "junk", 0)
	if p == nil {
		b.CreateTopics([]broker.NewTopic{{Name: "junk", Partitions: 1, Replication: -1}}, false, func([]broker.TopicResult) {})
		return
	}
	h := record.Template(record.None)
	h.ProducerID, h.ProducerEpoch, h.BaseSequence = c.odd(), int16(c.odd()), int32(c.odd())
	var builder record.Builder
	builder.Reset(h)
	for range 1 + c.w.clients.IntN(3) {
		builder.Add(record.Record{Timestamp: c.odd() / 2, Value: []byte(c.name())})
	}
	batch, err := builder.AppendTo(nil)
	if err != nil {
		return
	}
	if _, err := record.Validate(batch, record.Checks{Produced: true}); err != nil {
		return // a protocol would not let it through
	}
	p.Append(&broker.Append{Batch: batch, Done: func(*broker.Append) {}})
	p.DeleteRecords(record.Offset(c.odd()), func(record.Offset, error) {})
}

// offsets commits and deletes offsets that cannot be.
func (c *careless) offsets(b *broker.Broker) {
	g := "junk-group"
	commit := &group.Commit{Group: g, Member: c.name(), Generation: int32(c.odd()), Retention: c.odd()}
	for range c.w.clients.IntN(3) {
		commit.Topics = append(commit.Topics, group.CommitTopic{
			Topic: record.TopicID(c.odd()), Name: c.name(),
			Partitions: []group.CommitPartition{{Partition: int32(c.odd()), Offset: record.Offset(c.odd()), Epoch: record.Epoch(c.odd()), Metadata: c.name()}},
		})
	}
	if c.w.clients.IntN(2) == 0 {
		commit.Member, commit.Generation = "", -1
	}
	b.CommitOffsets(commit, func(error) {})
	b.DeleteOffsets(&group.DeleteOffsets{Group: g, Topics: []group.DeleteTopic{{
		Topic: record.TopicID(c.odd()), Name: c.name(), Partitions: []int32{int32(c.odd())},
	}}}, func([]error, error) {})
	if c.w.clients.IntN(10) == 0 {
		b.DeleteGroup(c.name(), func(error) {})
	}
}

// membership joins, syncs and leaves without sense.
func (c *careless) membership(b *broker.Broker) {
	g := "junk-members"
	b.JoinGroup(&group.Join{
		Group: g, Member: c.name(), Instance: c.name(), ClientID: c.name(), SessionTimeout: int32(c.odd()), RebalanceTimeout: int32(c.odd()),
		ProtocolType: c.name(), Protocols: []group.Protocol{{Name: c.name(), Metadata: []byte(c.name())}},
	}, func(group.JoinReply) {})
	b.JoinGroup(&group.Join{
		Group: g, SessionTimeout: group.MinSessionTimeout, RebalanceTimeout: int32(c.odd()), ProtocolType: "consumer",
		Protocols: []group.Protocol{{Name: "range"}},
	}, func(r group.JoinReply) {
		b.SyncGroup(&group.Sync{Group: g, Member: r.Member, Generation: r.Generation, Assignments: []group.Assignment{
			{Member: c.name(), Data: []byte(c.name())}, {Member: r.Member}, {Member: r.Member, Data: []byte("twice")},
		}}, func(group.SyncReply) {})
	})
	b.LeaveGroup(&group.Leave{Group: g, Members: []group.Leaver{{Member: c.name(), Instance: c.name()}, {}}}, func([]error, error) {})
}

// topics asks for topics that cannot be.
func (c *careless) topics(b *broker.Broker) {
	settings := []string{"retention.ms", "segment.ms", "retention.bytes", "segment.bytes", "max.message.bytes", "cleanup.policy", "no.such"}
	config := []broker.Config{{Name: settings[c.w.clients.IntN(len(settings))], Value: time.Duration(c.odd()).String()}}
	b.CreateTopics([]broker.NewTopic{{
		Name: c.name(), Partitions: int32(min(c.odd(), 3)), Replication: int16(c.odd()), Config: config,
	}}, c.w.clients.IntN(2) == 0, func([]broker.TopicResult) {})
	b.CreatePartitions([]broker.GrowTopic{{Name: "junk-2", Partitions: int32(c.odd())}}, false, func([]broker.TopicResult) {})
	b.DeleteTopics([]broker.TopicRef{{Name: "junk-2"}, {}}, func([]broker.TopicResult) {})
}

// transactions asks for transactions that cannot be.
func (c *careless) transactions(b *broker.Broker) {
	id, producer, epoch := c.name(), c.odd(), int16(c.odd())
	spare := func(txn.Reply, error) {}
	b.InitTransactions(&txn.Init{ID: id, Timeout: int32(c.odd()), Producer: producer, Epoch: epoch}, spare)
	b.InitTransactions(&txn.Init{ID: "junk", Timeout: 1 + int32(c.w.clients.IntN(5000)), Producer: -1, Epoch: -1}, func(r txn.Reply, err error) {
		if err == nil && c.w.clients.IntN(2) == 0 {
			producer, epoch = r.Producer, r.Epoch
		}
	})
	add := &txn.Add{ID: "junk", Producer: producer, Epoch: epoch, Bumps: c.w.clients.IntN(2) == 0, Groups: []string{"junk-group", c.name()}}
	add.Partitions = []txn.Partition{{Topic: record.TopicID(c.odd()), Name: c.name(), Number: int32(c.odd()), ID: record.PartitionID(c.odd())}}
	if p := partitionAt(b, "junk", 0); p != nil {
		add.Partitions = append(add.Partitions, p.InTransaction())
		if producer >= 0 && epoch >= 0 {
			b.EndByHand(producer, epoch, c.w.clients.IntN(2) == 0, []*broker.Partition{p}, func([]error) {})
		}
	}
	b.AddToTransaction(add, func([]error, error) {})
	commit := &group.TxnCommit{Producer: producer, Epoch: epoch}
	commit.Group, commit.Member, commit.Generation, commit.Retention = "junk-group", c.name(), int32(c.odd()), c.odd()
	commit.Topics = []group.CommitTopic{{Topic: record.TopicID(c.odd()), Name: c.name(), Partitions: []group.CommitPartition{{Offset: record.Offset(c.odd()), Epoch: record.Epoch(c.odd())}}}}
	b.CommitInTransaction([]string{"", "junk", id}[c.w.clients.IntN(3)], commit, func(error) {})
	b.EndTransaction(&txn.End{ID: "junk", Producer: producer, Epoch: epoch, Commit: c.w.clients.IntN(2) == 0, Bumps: c.w.clients.IntN(2) == 0}, spare)
}
