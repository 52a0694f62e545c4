package broker

import (
	"fmt"

	"github.com/polylog-mq/polylog/internal/fault"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/store"
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
			if !p.chains(s) {
				dst, at = s.encodeAppends(dst, now, at)
			}
			if p.alone(s) {
				p.at = at
				at++
				dst = p.encodePublish(dst, s)
				continue
			}
			s.chain(p)
		case *report:
			dst, at = s.encodeAppends(dst, now, at)
			p.at = at
			at++
			dst = p.appendTo(dst)
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

// Splice implements replica.Splicer.
func (s *shard) Splice(dst []byte, splices []store.Splice, now record.LogTime, batch []replica.Proposal) ([]byte, []store.Splice) {
	s.splicing, s.splices = true, splices
	dst = s.Encode(dst, now, batch)
	splices = s.splices
	s.splicing, s.splices = false, nil
	return dst, splices
}

// alone reports whether a publish stands in a command of its own: it has several
// targets, or one that may refuse it.
func (p *appendProposal) alone(s *shard) bool {
	if p.publish == nil {
		return false
	}
	part := s.parts[p.targets[0].partition]
	return len(p.targets) > 1 || part != nil && part.desk != nil && part.desk.rejects()
}

// chains reports whether what was chained before may stay unwritten: nothing of
// the same partition must be written before it.
func (p *appendProposal) chains(s *shard) bool {
	if len(s.chains) == 0 {
		return true
	}
	if p.alone(s) {
		return false
	}
	first := p.partition.chain.first
	if first == nil || first.publish == nil && p.publish == nil {
		return true
	}
	return first.publish != nil && p.publish != nil && first.targets[0] == p.targets[0] &&
		first.publish.logged.ttl == p.publish.logged.ttl && first.publish.logged.delay == p.publish.logged.delay
}

// appendHeader appends the part of an append command before its batches, which
// are those chained from p on.
func (p *appendProposal) appendHeader(dst []byte) []byte {
	if p.publish == nil {
		return appendTargets(dst, target{partition: p.partition.id})
	}
	f := p.publish.logged
	for a := p.next; a != nil; a = a.next {
		f.bytes += a.publish.logged.bytes
	}
	return appendPublish(dst, p.targets, &f)
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
		start, apart := len(dst), 0
		dst = p.chain.first.appendHeader(beginCommand(dst, kindAppend))
		settings := p.settings.Load()
		for a := p.chain.first; a != nil; a = a.next {
			a.at = at
			at++
			if s.splicing && a.spliced && (settings == nil || !settings.LogAppendTime) {
				sealed, sum := record.Sealed(a.batch)
				dst = append(dst, a.batch[:len(a.batch)-len(sealed)]...)
				s.splices = append(s.splices, store.Splice{At: len(dst), Bytes: sealed, Sum: sum})
				apart += len(sealed)
				continue
			}
			begin := len(dst)
			dst = append(dst, a.batch...)
			if settings != nil && settings.LogAppendTime {
				record.SetLogAppendTime(dst[begin:], int64(now))
			}
		}
		endCommand(dst, start)
		lengthen(dst, start, apart)
		p.chain.first, p.chain.last = nil, nil
		s.chains[i] = nil
	}
	s.chains = s.chains[:0]
	return dst, at
}
