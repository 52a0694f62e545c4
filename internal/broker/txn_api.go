package broker

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"sync"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/dedup"
	"github.com/polylog-mq/polylog/internal/state/group"
	"github.com/polylog-mq/polylog/internal/state/topic"
	"github.com/polylog-mq/polylog/internal/state/txn"
)

// ErrNotEnlisted refuses a batch of a transaction that the partition is not part
// of, and a batch outside of the transaction that its producer has there. Kafka:
// INVALID_TXN_STATE.
var ErrNotEnlisted = topic.ErrNotEnlisted

// ErrStillOpen says that the producer's last transaction is not ended in the
// partition. Kafka: CONCURRENT_TRANSACTIONS.
var ErrStillOpen = topic.ErrStillOpen

// InitTransactions begins a new incarnation of a transactional producer; c.Spare
// is set here. The reply has the id and epoch that it is to use. Errors: those of
// state/txn, ErrNotLeader, ErrUnknownFate, ErrBusy, ErrClosed.
func (b *Broker) InitTransactions(c *txn.Init, done func(txn.Reply, error)) {
	if err := txn.Check(c); err != nil {
		done(txn.Reply{}, err)
		return
	}
	b.withSpare(c.ID, done, func(s *shard, spare int64) {
		c.Spare = spare
		s.propose(kindTxn, c.AppendTo(nil), txnReply(done))
	})
}

// withSpare calls fn with a producer id that was never used, or with -1 if the
// transactional id needs none.
func (b *Broker) withSpare(id string, refused func(txn.Reply, error), fn func(s *shard, spare int64)) {
	s := b.home(id)
	if b.closed.Load() {
		refused(txn.Reply{}, ErrClosed)
		return
	}
	s.group.Post(func() {
		switch {
		case !s.leads.Load():
			refused(txn.Reply{}, ErrNotLeader)
		case !s.txns.state.NeedsProducer(id):
			fn(s, -1)
		default:
			b.AllocateProducerID(func(spare int64, err error) {
				if err != nil {
					refused(txn.Reply{}, err)
					return
				}
				fn(s, spare)
			})
		}
	})
}

func txnReply(done func(txn.Reply, error)) func(any, error) {
	return func(result any, err error) {
		r, _ := result.(txn.Reply)
		done(r, err)
	}
}

// addToTransaction tells the coordinator what is part of a transaction. The
// number is the transaction's, for the marks that enlist the producer.
func (b *Broker) addToTransaction(c *txn.Add, done func(number uint64, err error)) {
	if err := txn.Check(c); err != nil {
		done(0, err)
		return
	}
	b.home(c.ID).propose(kindTxn, c.AppendTo(nil), func(result any, err error) {
		r, _ := result.(txn.Reply)
		done(r.Number, err)
	})
}

// AddToTransaction makes partitions and groups part of the transaction of a
// producer, which it begins if need be, and lets the producer write there. The
// errors are one per partition, then one per group; err is about all of them.
func (b *Broker) AddToTransaction(c *txn.Add, done func(each []error, err error)) {
	b.addToTransaction(c, func(number uint64, err error) {
		if err != nil {
			done(nil, err)
			return
		}
		e := &enlisting{each: make([]error, len(c.Partitions)+len(c.Groups)), left: 1, done: done}
		e.partitions(b, c, number)
		for i, g := range c.Groups {
			e.add()
			b.enlistGroup(g, c.Producer, c.Epoch, number, func(err error) {
				e.answered([]int{len(c.Partitions) + i}, []error{err}, nil)
			})
		}
		e.answered(nil, nil, nil)
	})
}

func (b *Broker) enlistGroup(id string, producer int64, epoch int16, number uint64, done func(error)) {
	c := &group.Enlist{Group: id, Producer: producer, Epoch: epoch, Number: number}
	b.groupCommand(id, c, func(_ group.Reply, err error) { done(err) })
}

// enlisting gathers the answers of the shards where a producer is enlisted.
type enlisting struct {
	mu   sync.Mutex
	each []error
	left int
	done func([]error, error)
}

// partitions enlists the producer in the partitions, shard by shard.
func (e *enlisting) partitions(b *Broker, c *txn.Add, number uint64) {
	byShard := map[record.ShardID][]int{}
	for i := range c.Partitions {
		if s := b.shardOf(c.Partitions[i].ID); s != nil {
			byShard[s.id] = append(byShard[s.id], i)
		} else {
			e.each[i] = ErrUnknownPartition
		}
	}
	for _, id := range sortedKeys(byShard) {
		at := byShard[id]
		m := mark{producer: c.Producer, epoch: c.Epoch, number: number}
		for _, i := range at {
			m.partitions = append(m.partitions, c.Partitions[i].ID)
		}
		e.add()
		b.shards[id].propose(kindMark, m.appendTo(nil), func(result any, err error) {
			each, _ := result.([]error)
			e.answered(at, each, err)
		})
	}
}

func (e *enlisting) add() {
	e.mu.Lock()
	e.left++
	e.mu.Unlock()
}

// answered takes the errors of the targets at these places, or one for all.
func (e *enlisting) answered(at []int, each []error, err error) {
	e.mu.Lock()
	for i, place := range at {
		if e.each[place] = err; err == nil {
			e.each[place] = each[i]
		}
	}
	e.left--
	last := e.left == 0
	e.mu.Unlock()
	if last {
		e.done(e.each, nil)
	}
}

// EndTransaction commits or aborts the transaction of a producer; c.Spare is set
// here. It is answered once the decision is applied everywhere: then readers see
// what was committed. The reply has the id and epoch to go on with. Errors: those
// of state/txn, ErrNotLeader, ErrUnknownFate, ErrBusy, ErrClosed.
func (b *Broker) EndTransaction(c *txn.End, done func(txn.Reply, error)) {
	if err := txn.Check(c); err != nil {
		done(txn.Reply{}, err)
		return
	}
	b.withSpare(c.ID, done, func(s *shard, spare int64) {
		c.Spare = spare
		s.proposeWith(kindTxn, c.AppendTo(nil), &endWait{done: done}, func(result any, err error) {
			r, applied := result.(txn.Reply)
			if !applied || !r.Waiting {
				done(r, err)
			}
		})
	})
}

// EndByHand ends the transactions of a producer in partitions, whatever their
// coordinator thinks of them: an administrator's way out. The errors are one per
// partition.
func (b *Broker) EndByHand(producer int64, epoch int16, commit bool, parts []*Partition, done func(each []error)) {
	e := &enlisting{each: make([]error, len(parts)), left: 1, done: func(each []error, _ error) { done(each) }}
	byShard := map[record.ShardID][]int{}
	for i, p := range parts {
		byShard[p.shard.id] = append(byShard[p.shard.id], i)
	}
	for _, id := range sortedKeys(byShard) {
		at, s := byShard[id], b.shards[id]
		m := &mark{ends: true, commit: commit, producer: producer, epoch: epoch, number: math.MaxUint64}
		for _, i := range at {
			m.partitions = append(m.partitions, parts[i].id)
		}
		e.add()
		var err error
		if m.batch, err = controlBatch(m, record.Term(s.term.Load()), b.opts.Clock.Now().UnixMilli()); err != nil {
			e.answered(at, nil, err)
			continue
		}
		s.propose(kindMark, m.appendTo(nil), func(result any, err error) {
			each, _ := result.([]error)
			e.answered(at, each, err)
		})
	}
	e.answered(nil, nil, nil)
}

// CommitInTransaction commits offsets as part of a transaction. With a
// transactional id, the group is made part of it first (KIP-890); without, it has
// been. Errors: those of state/txn and state/group, ErrNotLeader, ErrUnknownFate,
// ErrBusy, ErrClosed.
func (b *Broker) CommitInTransaction(id string, c *group.TxnCommit, done func(error)) {
	commit := func() { b.groupCommand(c.Group, c, func(_ group.Reply, err error) { done(err) }) }
	if id == "" {
		commit()
		return
	}
	if err := group.Check(c); err != nil {
		done(err)
		return
	}
	add := &txn.Add{ID: id, Producer: c.Producer, Epoch: c.Epoch, Bumps: true, Groups: []string{c.Group}}
	b.addToTransaction(add, func(number uint64, err error) {
		if err != nil {
			done(err)
			return
		}
		// The commit follows in the same log, and is refused if this is.
		b.enlistGroup(c.Group, c.Producer, c.Epoch, number, func(error) {})
		commit()
	})
}

// PartitionProducer is a producer that has written to a partition.
type PartitionProducer struct {
	dedup.Producer
	// First is where its transaction begins, -1 if none is open.
	First record.Offset
}

// Producers answers with the idempotent producers that are remembered in a
// partition, ordered by id.
func (p *Partition) Producers(done func([]PartitionProducer, error)) {
	p.shard.onLeader(func(*groups) {
		if p.state == nil {
			done(nil, ErrUnknownPartition)
			return
		}
		first := map[int64]record.Offset{}
		for _, t := range p.state.Transactions() {
			first[t.Producer] = t.First
		}
		var all []PartitionProducer
		for _, known := range p.shard.producers.Producers(p.id) {
			o, ok := first[known.ID]
			if !ok {
				o = -1
			}
			all = append(all, PartitionProducer{known, o})
		}
		done(all, nil)
	}, func(err error) { done(nil, err) })
}

// DescribeTransaction answers with a transactional id as it is coordinated here;
// its phase is Dead if there is none.
func (b *Broker) DescribeTransaction(id string, done func(txn.Description, error)) {
	s := b.home(id)
	s.onLeader(func(*groups) {
		d, _ := s.txns.state.Describe(id)
		d.Partitions = slices.Clone(d.Partitions)
		done(d, nil)
	}, func(err error) { done(txn.Description{}, err) })
}

// ListTransactions answers with the transactional ids that this node coordinates,
// ordered by id, without their partitions.
func (b *Broker) ListTransactions(done func([]txn.Description, error)) {
	l := &txnListing{left: len(b.shards), done: done}
	for _, id := range sortedKeys(b.shards) {
		s := b.shards[id]
		s.onLeader(func(*groups) {
			l.add(slices.Collect(s.txns.state.All()), nil)
		}, func(err error) { l.add(nil, err) })
	}
}

// txnListing gathers the transactional ids of several shards.
type txnListing struct {
	mu   sync.Mutex
	left int
	all  []txn.Description
	err  error
	done func([]txn.Description, error)
}

func (l *txnListing) add(found []txn.Description, err error) {
	l.mu.Lock()
	l.left--
	for _, d := range found {
		d.Partitions = nil // the state's own
		l.all = append(l.all, d)
	}
	if err != nil && !errors.Is(err, ErrNotLeader) { // others list what they lead
		l.err = err
	}
	last := l.left == 0
	l.mu.Unlock()
	if last {
		slices.SortFunc(l.all, func(a, b txn.Description) int { return cmp.Compare(a.ID, b.ID) })
		l.done(l.all, l.err)
	}
}
