package broker

import (
	"sync"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/topic"
	"github.com/polylog-mq/polylog/internal/state/txn"
)

// writers is what a partition's handle knows of the producers that have a
// transaction there, readable from any goroutine: which of them are enlisted, and
// which are about to be, with the batches that wait for it.
type writers struct {
	mu     sync.Mutex
	epochs map[int64]int16 // of the enlisted, by producer id
	// joining are the batches of producers whose enlisting is under way, in
	// their order.
	joining map[int64][]*Append
}

func (w *writers) enlisted(producer int64, epoch int16) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.epochs == nil {
		w.epochs = map[int64]int16{}
	}
	w.epochs[producer] = epoch
}

func (w *writers) dismissed(producer int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.epochs, producer)
}

// restored replaces the enlisted by those of a state.
func (w *writers) restored(all []topic.Transaction) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.epochs = nil
	if len(all) > 0 {
		w.epochs = make(map[int64]int16, len(all))
	}
	for _, t := range all {
		w.epochs[t.Producer] = t.Epoch
	}
}

// InTransaction returns the partition as a part of a transaction.
func (p *Partition) InTransaction() txn.Partition {
	t := p.topic.Load()
	return txn.Partition{Topic: t.ID, Name: t.Name, Number: p.number, ID: p.id}
}

// AppendIn is Append for a batch of the transaction of a transactional id, by a
// client that does not add the partition to it before (KIP-890): the first batch
// does. Batches appended by one goroutine keep their order. Errors beside those
// of Append: those of state/txn, ErrNotEnlisted.
func (p *Partition) AppendIn(a *Append, id string) {
	h, err := record.ParseHeader(a.Batch)
	w := &p.writers
	w.mu.Lock()
	queue, joining := w.joining[h.ProducerID]
	if epoch, ok := w.epochs[h.ProducerID]; err != nil || ok && !joining && epoch == h.ProducerEpoch {
		w.mu.Unlock()
		p.Append(a)
		return
	}
	if w.joining == nil {
		w.joining = map[int64][]*Append{}
	}
	w.joining[h.ProducerID] = append(queue, a)
	w.mu.Unlock()
	if !joining {
		p.join(id, h.ProducerID, h.ProducerEpoch)
	}
}

// join makes the partition part of a transaction, and then appends what waits for
// that: the mark that enlists the producer and the batches go into the log
// together.
func (p *Partition) join(id string, producer int64, epoch int16) {
	b := p.shard.b
	add := &txn.Add{ID: id, Producer: producer, Epoch: epoch, Bumps: true, Partitions: []txn.Partition{p.InTransaction()}}
	b.addToTransaction(add, func(number uint64, err error) {
		w := &p.writers
		w.mu.Lock()
		defer w.mu.Unlock() // until all are under way: nobody may come between
		queue := w.joining[producer]
		delete(w.joining, producer)
		if err == nil {
			m := mark{producer: producer, epoch: epoch, number: number, partitions: []record.PartitionID{p.id}}
			p.shard.proposeOwn(kindMark, m.appendTo(nil), func(any, error) {})
		}
		for _, a := range queue {
			if err != nil {
				a.Base, a.LogAppendTime, a.Floor, a.Err = -1, -1, -1, err
				a.Done(a)
				continue
			}
			p.Append(a)
		}
	})
}
