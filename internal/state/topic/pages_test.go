package topic

import (
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
)

// failer is a test of the testing package or of rapid.
type failer interface {
	Helper()
	Failed() bool
	Errorf(string, ...any)
	Fatal(...any)
	Fatalf(string, ...any)
}

// cut follows one checkpoint of a state at a time: what it writes, however
// slowly, must be the state at its instant.
type cut struct {
	disk   dump
	want   dump
	freeze func()
	encode func(emit func(key, value []byte), more func() bool) bool
	dump   func() dump
}

func cutOfShard(s *Partitions) *cut {
	return &cut{disk: dump{}, freeze: s.Freeze, encode: s.EncodePages, dump: func() dump { return dumpShard(s) }}
}

func cutOfCatalog(c *Catalog) *cut {
	return &cut{disk: dump{}, freeze: c.Freeze, encode: c.EncodePages, dump: func() dump { return dumpCatalog(c) }}
}

func (c *cut) begin() {
	if c.want == nil {
		c.want = c.dump()
		c.freeze()
	}
}

func (c *cut) step(t failer, pages int) {
	t.Helper()
	if c.want == nil {
		return
	}
	done := c.encode(func(key, value []byte) {
		if value == nil {
			delete(c.disk, string(key))
			return
		}
		c.disk[string(key)] = string(value)
	}, func() bool { pages--; return pages >= 0 })
	if !done {
		return
	}
	for k := range c.want {
		if c.disk[k] != c.want[k] {
			t.Errorf("the cut says %q of page %q, the state was %q", c.disk[k], k, c.want[k])
		}
	}
	if t.Failed() || len(c.disk) != len(c.want) {
		t.Fatalf("the cut has %d pages, the state had %d", len(c.disk), len(c.want))
	}
	c.want = nil
}

// whole makes a cut and writes it at once.
func (c *cut) whole(t failer) {
	t.Helper()
	c.begin()
	c.step(t, 1<<30)
}

// A dump is every page that a state has, by key.
type dump map[string]string

func (d dump) add(key []byte, encode func(dst []byte) ([]byte, bool)) {
	if v, ok := encode([]byte{}); ok {
		d[string(key)] = string(v)
	}
}

func dumpCatalog(c *Catalog) dump {
	d := dump{}
	keys := []catalogPage{rootPage, slotsPage}
	for id, t := range c.topics {
		keys = append(keys, catalogPage{kind: pageTopic, topic: id})
		for chunk := 0; chunk*partitionsPerPage < len(t.Partitions); chunk++ {
			keys = append(keys, catalogPage{pagePlacements, id, uint32(chunk)})
		}
	}
	for _, k := range keys {
		d.add(k.appendKey(nil), func(dst []byte) ([]byte, bool) { return c.encodePage(dst, k) })
	}
	return d
}

func dumpShard(s *Partitions) dump {
	d := dump{}
	var keys []shardPage
	if s.revision > 0 {
		keys = append(keys, shardPage{kind: pageShard})
	}
	for id := range s.topics {
		keys = append(keys, shardPage{kind: pageShardTopic, id: uint64(id)})
	}
	for id, p := range s.partitions {
		keys = append(keys, shardPage{kind: pagePartition, id: uint64(id)})
		for n := p.firstSealed / segmentsPerPage * segmentsPerPage; n < p.firstSealed+uint64(len(p.sealed)); n += segmentsPerPage {
			keys = append(keys, shardPage{pageSegments, uint64(id), n / segmentsPerPage})
		}
		keys = append(keys, shardPage{kind: pageOpen, id: uint64(id)})
		x := &p.txns
		for n := x.firstAborted / abortedPerPage * abortedPerPage; n < x.firstAborted+uint64(len(x.aborted)); n += abortedPerPage {
			keys = append(keys, shardPage{pageAborted, uint64(id), n / abortedPerPage})
		}
	}
	for _, k := range keys {
		d.add(k.appendKey(nil), func(dst []byte) ([]byte, bool) { return s.encodePage(dst, k) })
	}
	return d
}

// restore gives a dump to a state in an order of chance.
func restore(t failer, d dump, page func(key, value []byte) error, end func() error) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(d))
	r := rand.New(rand.NewPCG(uint64(len(keys)), 1))
	r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	for _, k := range keys {
		if err := page([]byte(k), []byte(d[k])); err != nil {
			t.Fatal(err)
		}
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
}

func restoreCatalog(t failer, d dump) *Catalog {
	t.Helper()
	c := NewCatalog()
	restore(t, d, c.RestorePage, c.Restored)
	return c
}

func restoreShard(t failer, d dump) *Partitions {
	t.Helper()
	s := NewPartitions()
	restore(t, d, s.RestorePage, s.Restored)
	return s
}

// checkCatalogPages restores what c's pages say and compares everything.
func checkCatalogPages(t failer, c *Catalog) {
	t.Helper()
	d := dumpCatalog(c)
	o := restoreCatalog(t, d)
	if !maps.Equal(d, dumpCatalog(o)) {
		t.Fatal("a restored catalog has other pages")
	}
	if !reflect.DeepEqual(c.Topics(), o.Topics()) || !maps.Equal(c.waiting, o.waiting) || c.partitions != o.partitions {
		t.Fatalf("a restored catalog differs: waiting %v and %v", c.waiting, o.waiting)
	}
	if len(c.topics) != len(o.topics) || len(c.byUUID) != len(o.byUUID) || len(c.folded) != len(o.folded) {
		t.Fatal("a restored catalog has other indexes")
	}
	for f, list := range c.folded {
		if !slices.EqualFunc(list, o.folded[f], func(a, b *Topic) bool { return a.ID == b.ID && c.topics[a.ID] == a }) {
			t.Fatalf("names that fold to %v differ", f)
		}
	}
	for i := range c.shards {
		a, okA := c.Pending(c.shards[i].id)
		b, okB := o.Pending(c.shards[i].id)
		if okA != okB || !reflect.DeepEqual(a, b) || c.shards[i].partitions != o.shards[i].partitions {
			t.Fatalf("shard %d is owed %+v, after a restore %+v", c.shards[i].id, a, b)
		}
	}
}

// checkShardPages restores what s's pages say and compares everything.
func checkShardPages(t failer, s *Partitions) {
	t.Helper()
	d := dumpShard(s)
	o := restoreShard(t, d)
	if !maps.Equal(d, dumpShard(o)) {
		t.Fatal("a restored shard has other pages")
	}
	if s.due.Len() != o.due.Len() || len(s.topics) != len(o.topics) {
		t.Fatalf("%d partitions are due, after a restore %d", s.due.Len(), o.due.Len())
	}
	for id, p := range s.partitions {
		q := o.partitions[id]
		if p.bytes != q.bytes || p.due != q.due || p.Queued() != q.Queued() || *p.Settings() != *q.Settings() ||
			p.topic.partitions != q.topic.partitions || p.topic.revision != q.topic.revision ||
			p.LastStable() != q.LastStable() || !slices.Equal(p.Aborted(), q.Aborted()) || !slices.Equal(p.Transactions(), q.Transactions()) {
			t.Fatalf("partition %d is %+v, after a restore %+v", id, p, q)
		}
		if p.Queued() && !s.due.Has(p) {
			t.Fatalf("partition %d is not where it thinks in the heap", id)
		}
	}
}
