package crash

import (
	"strings"
	"sync"
	"testing"
)

// history is what the producers were told.
type history struct {
	mu    sync.Mutex
	acked book
	sent  map[int][partitions]int // by producer: how many to each partition
	total int
	left  int // acknowledgements until goal is closed
	goal  chan struct{}
}

type place struct {
	partition int32
	offset    int64
}

// book holds what lies at which place, millions of them: by partition, then
// offset. The zero payload is none, since producers count from 1.
type book map[int32][]payload

func (b book) put(at place, p payload) {
	if grow := int(at.offset) + 1 - len(b[at.partition]); grow > 0 {
		b[at.partition] = append(b[at.partition], make([]payload, grow)...)
	}
	b[at.partition][at.offset] = p
}

func (b book) get(at place) payload {
	if at.offset < 0 || at.offset >= int64(len(b[at.partition])) {
		return payload{}
	}
	return b[at.partition][at.offset]
}

// all calls yield for everything in the book.
func (b book) all(yield func(place, payload) bool) {
	for partition, records := range b {
		for offset, p := range records {
			if p != (payload{}) && !yield(place{partition, int64(offset)}, p) {
				return
			}
		}
	}
}

// found is a record that was read.
type found struct {
	offset int64
	payload
}

func newHistory() *history {
	return &history{acked: book{}, sent: map[int][partitions]int{}}
}

// after returns a channel that is closed when n more records are acknowledged.
func (h *history) after(n int) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.left, h.goal = n, make(chan struct{})
	return h.goal
}

// count returns how many records are acknowledged.
func (h *history) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.total
}

func (h *history) acknowledged(partition int32, offset int64, p payload) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acked.put(place{partition, offset}, p)
	h.total++
	if h.left--; h.left == 0 {
		close(h.goal)
	}
}

func (h *history) finished(producer int, sent [partitions]int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent[producer] = sent
}

// errorer is the part of testing.TB that the checker needs, so that it can be
// tested itself.
type errorer interface {
	Errorf(format string, args ...any)
}

// check holds the partitions against the history and returns how many records
// were acknowledged.
func (h *history) check(t errorer, read map[int32][]found) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := book{}
	for partition, records := range read {
		next := map[int]int{} // by producer: the number expected
		for i, r := range records {
			if r.offset != int64(i) {
				t.Errorf("partition %d: offset %d follows %d", partition, r.offset, i-1)
				break
			}
			if r.Partition != partition {
				t.Errorf("partition %d offset %d holds a record of partition %d", partition, r.offset, r.Partition)
			}
			switch want := next[r.Producer]; {
			case r.N < want:
				t.Errorf("partition %d offset %d: record %d of producer %d is doubled or out of order", partition, r.offset, r.N, r.Producer)
			case r.N > want:
				t.Errorf("partition %d offset %d: record %d of producer %d comes where %d is missing", partition, r.offset, r.N, r.Producer, want)
			}
			next[r.Producer] = r.N + 1
			at.put(place{partition, r.offset}, r.payload)
		}
		for producer, sent := range h.sent {
			if next[producer] != sent[partition] {
				t.Errorf("partition %d: producer %d wrote %d records, %d are there", partition, producer, sent[partition], next[producer])
			}
		}
	}
	for where, p := range h.acked.all {
		if got := at.get(where); got == (payload{}) {
			t.Errorf("partition %d offset %d was acknowledged and is lost: %+v", where.partition, where.offset, p)
		} else if got != p {
			t.Errorf("partition %d offset %d was acknowledged as %+v and holds %+v", where.partition, where.offset, p, got)
		}
	}
	return h.total
}

// complaints counts what a checker finds.
type complaints struct{ said []string }

func (c *complaints) Errorf(format string, _ ...any) { c.said = append(c.said, format) }

// TestChecker shows that each kind of damage is seen.
func TestChecker(t *testing.T) {
	good := func() (*history, map[int32][]found) {
		h, read := newHistory(), map[int32][]found{}
		for i := range 10 {
			p := payload{Producer: 1 + i%2, Partition: 3, N: i / 2}
			h.acknowledged(3, int64(i), p)
			read[3] = append(read[3], found{int64(i), p})
		}
		h.finished(1, [partitions]int{3: 5})
		h.finished(2, [partitions]int{3: 5})
		return h, read
	}
	for _, c := range []struct {
		name, want string
		damage     func(r []found) []found
	}{
		{"none", "", func(r []found) []found { return r }},
		{"lost at the end", "is lost", func(r []found) []found { return r[:9] }},
		{"a gap", "follows", func(r []found) []found { return append(r[:4:4], r[5:]...) }},
		{"doubled", "is doubled", func(r []found) []found { return append(r, found{10, r[9].payload}) }},
		{"swapped", "out of order", func(r []found) []found {
			r[4].payload, r[6].payload = r[6].payload, r[4].payload
			return r
		}},
		{"another's record", "and holds", func(r []found) []found {
			r[2].payload = payload{Producer: 7, Partition: 3}
			return r
		}},
		{"in the wrong partition", "holds a record of partition", func(r []found) []found {
			r[2].Partition = 4
			return r
		}},
	} {
		h, read := good()
		read[3] = c.damage(read[3])
		var got complaints
		h.check(&got, read)
		all := strings.Join(got.said, "\n")
		if c.want == "" && all != "" || c.want != "" && !strings.Contains(all, c.want) {
			t.Errorf("%s: the checker says %q, want %q", c.name, all, c.want)
		}
	}
}
