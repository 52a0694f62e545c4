package broker

import (
	"fmt"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
)

// Encode implements replica.StateMachine. Appends that no other command stands
// between are sorted by partition, in the order of each one's first, so that
// the batches of a partition lie together and become one run. The order of one
// partition's batches is kept, and so is that of everything else.
func (s *shard) Encode(dst []byte, now record.LogTime, batch []replica.Proposal) []byte {
	dst = append(dst, bodyVersion)
	at := 0
	for _, p := range batch {
		switch p := p.(type) {
		case *appendProposal:
			s.chain(p)
		case *command:
			dst, at = s.encodeAppends(dst, now, at)
			p.at = at
			at++
			dst = p.appendTo(dst)
		default:
			panic(fmt.Sprintf("broker: a proposal of type %T", p))
		}
	}
	dst, _ = s.encodeAppends(dst, now, at)
	return dst
}

// chain puts an append behind the others of its partition.
func (s *shard) chain(a *appendProposal) {
	a.next = nil
	c := &a.partition.chain
	if c.first == nil {
		c.first = a
		s.chains = append(s.chains, a.partition)
	} else if fault.On(fault.ReorderBatches) && c.first == c.last {
		a.next, c.first = c.first, a
		return
	} else {
		c.last.next = a
	}
	c.last = a
}

// encodeAppends writes the chained appends, a command per partition. The first
// batch becomes the entry's proposal number at.
func (s *shard) encodeAppends(dst []byte, now record.LogTime, at int) ([]byte, int) {
	for i, p := range s.chains {
		start := len(dst)
		dst = appendTargets(beginCommand(dst, kindAppend), target{partition: p.id})
		settings := p.settings.Load()
		for a := p.chain.first; a != nil; a = a.next {
			a.at = at
			at++
			begin := len(dst)
			dst = append(dst, a.batch...)
			if settings != nil && settings.LogAppendTime {
				record.SetLogAppendTime(dst[begin:], int64(now))
			}
		}
		endCommand(dst, start)
		p.chain.first, p.chain.last = nil, nil
		s.chains[i] = nil
	}
	s.chains = s.chains[:0]
	return dst, at
}
