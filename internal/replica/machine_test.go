package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/polylog-mq/polylog/internal/page"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// machine is a state machine for tests: every command is a record appended to
// one of a few partitions. It remembers what it applied in what order, as a
// chained checksum per index, so that members can be compared.
type machine struct {
	group record.ShardID
	runs  interface {
		AddRuns(g record.ShardID, i record.Index, runs []store.Run)
	}
	next  [partitions]record.Offset
	chain uint32
	count uint64
	pages *page.Set[byte]

	// Since the last Restore.
	applied []appliedCommand
	chains  map[record.Index]uint32 // after each entry
	times   []record.LogTime        // of the entries
	ticks   []record.LogTime        // of those without commands
	holds   int                     // entries with Hold

	leads   []bool         // what LeaderChanged said
	due     record.LogTime // the next deadline, 0 for none
	onTick  func(now record.LogTime)
	onApply func(e Entry, cs []appliedCommand)
}

const partitions = 3

type appliedCommand struct {
	index     record.Index
	id        uint64
	partition int
	offset    record.Offset
}

// command is a proposal of the tests.
type command struct {
	id        uint64
	partition int
	body      []byte // a record batch
	spliced   bool   // it was left where it lies
	done      func(c *command)

	offset  record.Offset
	err     error
	settled int // how often Done was called
}

func newCommand(id uint64, partition, size int) *command {
	var b record.Builder
	b.Reset(record.Template(record.None))
	value := binary.LittleEndian.AppendUint64(make([]byte, 0, size), id)
	b.Add(record.Record{Timestamp: 1000, Value: append(value, make([]byte, max(size-8, 0))...)})
	body, err := b.AppendTo(nil)
	if err != nil {
		panic(err)
	}
	return &command{id: id, partition: partition, body: body}
}

func (c *command) Size() int { return len(c.body) }

// Bulk leaves two of three commands where they lie, if they are large.
func (c *command) Bulk() int {
	if len(c.body) < 2000 || c.id%3 == 0 {
		return 0
	}
	return len(c.body)
}

func (c *command) Done(err error) {
	if c.spliced && !errors.Is(err, ErrUnknown) {
		for i := range c.body { // the caller uses its memory again
			c.body[i] = poison
		}
	}
	c.err = err
	c.settled++
	if c.done != nil {
		c.done(c)
	}
}

func newMachine(g record.ShardID) *machine {
	m := &machine{group: g}
	m.reset()
	return m
}

func (m *machine) reset() {
	m.next, m.chain, m.count = [partitions]record.Offset{}, 0, 0
	m.applied, m.chains, m.times, m.ticks, m.holds = nil, map[record.Index]uint32{}, nil, nil, 0
	m.pages = page.New(func(dst []byte, k byte) ([]byte, bool) {
		if k == 'c' {
			dst = binary.LittleEndian.AppendUint32(dst, m.chain)
			return binary.LittleEndian.AppendUint64(dst, m.count), true
		}
		return binary.LittleEndian.AppendUint64(dst, uint64(m.next[k])), true
	})
}

func (m *machine) partition(i int) record.PartitionID {
	return record.PartitionID(int(m.group)*100 + i)
}

func (m *machine) Encode(dst []byte, now record.LogTime, batch []Proposal) []byte {
	for _, p := range batch {
		c := p.(*command)
		dst = append(dst, byte(c.partition))
		dst = binary.LittleEndian.AppendUint64(dst, c.id)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(c.body)))
		dst = append(dst, c.body...)
	}
	return dst
}

func (m *machine) Splice(dst []byte, splices []store.Splice, now record.LogTime, batch []Proposal) ([]byte, []store.Splice) {
	for i, p := range batch {
		c := p.(*command)
		if c.spliced = c.Bulk() > 0; !c.spliced {
			dst = m.Encode(dst, now, batch[i:i+1])
			continue
		}
		dst = append(dst, byte(c.partition))
		dst = binary.LittleEndian.AppendUint64(dst, c.id)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(c.body)))
		splices = append(splices, store.Splice{At: len(dst), Bytes: c.body, Sum: crc32.Checksum(c.body, castagnoli)})
	}
	return dst, splices
}

func (m *machine) Apply(e Entry, batch []Proposal) {
	m.times = append(m.times, e.Now)
	if e.Hold {
		m.holds++
	}
	if len(e.Data) == 0 {
		m.ticks = append(m.ticks, e.Now)
		if m.onTick != nil {
			m.onTick(e.Now)
		}
	}
	m.pages.Touch('c')
	m.chain = crc32.Update(m.chain, castagnoli, binary.LittleEndian.AppendUint64(nil, uint64(e.Now)))
	var runs []store.Run
	before := len(m.applied)
	for n, at := 0, 0; at < len(e.Data); n++ {
		partition, id := int(e.Data[at]), binary.LittleEndian.Uint64(e.Data[at+1:])
		size := int(binary.LittleEndian.Uint32(e.Data[at+9:]))
		at += 13
		m.pages.Touch(byte(partition))
		offset := m.next[partition]
		m.next[partition]++
		m.count++
		m.chain = crc32.Update(m.chain, castagnoli, e.Data[at-13:at+size])
		m.applied = append(m.applied, appliedCommand{e.Index, id, partition, offset})
		runs = append(runs, store.Run{
			Partition: m.partition(partition), Base: offset, Last: offset, Epoch: record.Epoch(e.Term), LogTime: e.Now,
			MaxTimestamp: 1000, FirstID: record.EntryID{Time: e.Now, Seq: uint64(offset)},
			Pos: uint32(e.Base + at), Len: uint32(size),
		})
		at += size
		if batch != nil {
			c := batch[n].(*command)
			if c.id != id {
				panic(fmt.Sprintf("entry %d holds command %d where the proposal is %d", e.Index, id, c.id))
			}
			c.offset = offset
		}
	}
	if m.runs != nil && len(runs) > 0 {
		m.runs.AddRuns(m.group, e.Index, runs)
	}
	m.chains[e.Index] = m.chain
	if m.onApply != nil {
		m.onApply(e, m.applied[before:])
	}
}

func (m *machine) NextDeadline() (record.LogTime, bool) { return m.due, m.due != 0 }

func (m *machine) LeaderChanged(self bool, _ record.NodeID, _ record.Term) {
	m.leads = append(m.leads, self)
}

func (m *machine) Freeze() { m.pages.Freeze() }

func (m *machine) EncodePages(emit func(key, value []byte), more func() bool) bool {
	for m.pages.Next(func(k byte, v []byte) { emit([]byte{k}, v) }) {
		if !more() {
			return false
		}
	}
	return true
}

var errPage = errors.New("no such page")

func (m *machine) Restore(pages PageSource) error {
	m.reset()
	return pages(func(key, value []byte) error {
		switch k := key[0]; {
		case k == 'c':
			m.chain, m.count = binary.LittleEndian.Uint32(value), binary.LittleEndian.Uint64(value[4:])
		case k < partitions:
			m.next[k] = record.Offset(binary.LittleEndian.Uint64(value))
		default:
			return errPage
		}
		return nil
	})
}

func (m *machine) SnapshotRanges(pages PageSource) (out []Range, err error) {
	err = pages(func(key, value []byte) error {
		if k := key[0]; k < partitions {
			out = append(out, Range{m.partition(int(k)), 0, record.Offset(binary.LittleEndian.Uint64(value))})
		}
		return nil
	})
	return out, err
}
