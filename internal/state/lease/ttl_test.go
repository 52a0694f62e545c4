package lease

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
)

// ttlRun is a set in which every record has another time to live than the one
// before.
type ttlRun struct {
	t    *testing.T
	disk map[string][]byte
	s    *State
	set  *Set
	next record.Offset
}

func newTTLRun(t *testing.T) *ttlRun {
	r := &ttlRun{t: t, disk: map[string][]byte{}}
	r.s = New(r.source)
	settings := DefaultSettings()
	r.set = r.s.Define(7, 0, &settings)
	return r
}

func (r *ttlRun) source(from, to []byte, yield func(key, value []byte) error) error {
	var keys []string
	for k := range r.disk {
		if k >= string(from) && k < string(to) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if err := yield([]byte(k), r.disk[k]); err != nil {
			return err
		}
	}
	return nil
}

func ttlOf(o record.Offset) int64 { return 1000 + int64(o%7) }

func (r *ttlRun) append(n int) {
	for range n {
		r.s.Append(r.set, Batch{Range: Range{r.next, r.next}, TTL: ttlOf(r.next)})
		r.next++
	}
}

func (r *ttlRun) checkpoint(meanwhile func()) {
	r.s.Freeze()
	meanwhile()
	r.s.EncodePages(func(key, value []byte) {
		if value == nil {
			delete(r.disk, string(key))
			return
		}
		r.disk[string(key)] = bytes.Clone(value)
	}, func() bool { return true })
	r.s.Durable()
}

// restart brings back what the last checkpoint says.
func (r *ttlRun) restart() {
	r.t.Helper()
	r.s = New(r.source)
	for k, v := range r.disk {
		if err := r.s.RestorePage([]byte(k), v); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := r.s.Restored(); err != nil {
		r.t.Fatal(err)
	}
	r.set = r.s.Lookup(7)
	r.next = r.set.Next()
}

func (r *ttlRun) check() {
	r.t.Helper()
	for o := r.set.Floor(); o < r.next; o++ {
		if ttl, err := r.s.TTL(r.set, o); err != nil || ttl != ttlOf(o) {
			r.t.Fatalf("record %d of %d may wait %d, want %d; %v", o, r.next, ttl, ttlOf(o), err)
		}
	}
}

func (r *ttlRun) inMemory() (n int) {
	for i := range r.set.ttls.pages {
		n += len(r.set.ttls.pages[i].changes)
	}
	return n
}

// Times to live leave memory with the checkpoint that has them, and are the same
// afterwards, while records come and go.
func TestTimesToLiveLeaveMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1)) //nolint:gosec // to be repeated
	r := newTTLRun(t)
	for range 60 {
		r.append(rng.IntN(1500))
		floor := r.set.Floor() + record.Offset(rng.IntN(1200))
		r.checkpoint(func() {
			r.append(rng.IntN(600))
			if floor < r.next {
				r.s.SettleBelow(r.set, floor)
			}
		})
		r.check()
		if n := r.inMemory(); n > 4*ttlsPerPage {
			t.Fatalf("%d changes of %d records are in memory", n, r.set.Unsettled())
		}
		if rng.IntN(4) == 0 {
			r.checkpoint(func() {})
			r.restart()
			r.check()
		}
	}
	r.s.SettleBelow(r.set, r.next)
	r.checkpoint(func() {})
	if len(r.disk) != 2 { // the root and the last change
		t.Errorf("%d pages are left", len(r.disk))
	}
	r.s.Drop(7)
	if r.checkpoint(func() {}); len(r.disk) != 0 {
		t.Errorf("%d pages of a set that is gone", len(r.disk))
	}
}

// A page that is missing, or another one, is noticed.
func TestLostTimesToLiveAreNoticed(t *testing.T) {
	r := newTTLRun(t)
	r.append(3 * ttlsPerPage)
	r.checkpoint(func() {})
	key := func(n uint64) string { return string(pageKey{pageTTLs, 7, n}.appendKey(nil)) }
	r.disk[key(1)] = r.disk[key(0)]
	delete(r.disk, key(2))
	for _, o := range []record.Offset{ttlsPerPage + 5, 2*ttlsPerPage + 5} {
		if _, err := r.s.TTL(r.set, o); err == nil {
			t.Errorf("record %d: nobody notices", o)
		}
	}
	if ttl, err := r.s.TTL(r.set, 5); err != nil || ttl != ttlOf(5) {
		t.Errorf("%d, %v", ttl, err)
	}
}
