package kafka

import (
	"math"
	"testing"
	"time"
)

func TestSessionEpochs(t *testing.T) {
	for _, c := range []struct{ e, want int32 }{{0, 1}, {1, 2}, {math.MaxInt32, 1}} {
		if got := nextEpoch(c.e); got != c.want {
			t.Errorf("after %d comes %d, want %d", c.e, got, c.want)
		}
	}
	f := newFetchSessions(1).create(0, 1, true)
	for _, c := range []struct {
		epoch   int32
		byID    bool
		want    int16
		comment string
	}{
		{1, true, errNone, "as expected"},
		{2, true, errInvalidFetchSessionEpoch, "ahead"},
		{0, true, errInvalidFetchSessionEpoch, "behind"},
		{1, false, errFetchSessionTopicIDError, "names instead of ids"},
	} {
		if got := f.check(c.epoch, c.byID); got != c.want {
			t.Errorf("%s: %d, want %d", c.comment, got, c.want)
		}
	}
}

func TestSessionsAreEvicted(t *testing.T) {
	s := newFetchSessions(1)
	var all []*fetchSession
	for i := range maxFetchSessions {
		all = append(all, s.create(time.Duration(i), 10, false))
	}
	now := sessionEviction
	if s.create(now, 1000, false) != nil {
		t.Fatal("a session was evicted that is too young")
	}
	// The third is the longest unused once the first two were used again.
	now = sessionEviction + 3
	for _, f := range all[:2] {
		if !s.touch(f, now, 10) {
			t.Fatal("gone")
		}
	}
	if s.create(now, 1, false) == nil || s.get(all[2].id) != nil || s.get(all[0].id) == nil {
		t.Fatal("the longest unused was not the one to go")
	}
	// Now all were used lately: only a larger session takes a smaller one's
	// place.
	now = 2 * sessionEviction
	for _, f := range s.byID {
		s.touch(f, now, f.partitions)
	}
	small := all[5]
	s.touch(small, now, 9)
	if s.create(now, 9, false) != nil {
		t.Fatal("a session of the same size was evicted")
	}
	if s.create(now, 10, false) == nil || s.get(small.id) != nil {
		t.Fatal("the smallest was not the one to go")
	}
	if s.touch(small, now, 1) {
		t.Fatal("an evicted session goes on")
	}
}

func TestSessionsBoundTheirPartitions(t *testing.T) {
	s := newFetchSessions(1)
	if s.create(0, maxSessionPartitions+1, false) != nil {
		t.Fatal("too many partitions")
	}
	f := s.create(0, maxSessionPartitions, false)
	if f == nil || s.create(0, 1, false) != nil {
		t.Fatal("the bound is off")
	}
	if s.touch(f, 0, maxSessionPartitions+1) || s.get(f.id) != nil {
		t.Fatal("a session grew beyond the bound")
	}
	if s.create(0, maxSessionPartitions, false) == nil {
		t.Fatal("its room was not given back")
	}
}

func TestSessionTellsWhatIsNew(t *testing.T) {
	s := newFetchSessions(1).create(0, 2, false)
	a, b := fetchKey{name: "a"}, fetchKey{name: "b"}
	s.put([]byte("a"), [16]byte{}, 0, fetchWish{offset: 5})
	s.put([]byte("b"), [16]byte{}, 0, fetchWish{offset: 5})
	at := func(high, start int64) *fetchFound {
		return &fetchFound{highWatermark: high, logStart: start, lastStable: high}
	}
	for _, c := range []struct {
		comment string
		found   *fetchFound
		want    bool
	}{
		{"the first time", at(5, 0), true},
		{"nothing new", at(5, 0), false},
		{"a higher watermark", at(6, 0), true},
		{"known by now", at(6, 0), false},
		{"a higher floor", at(6, 2), true},
		{"an error", &fetchFound{code: errOffsetOutOfRange, highWatermark: -1, logStart: -1}, true},
		{"the same error", &fetchFound{code: errOffsetOutOfRange, highWatermark: -1, logStart: -1}, true},
		{"the error has gone", at(6, 2), true},
		{"all is well", at(6, 2), false},
		{"the logs diverge", &fetchFound{diverges: true, highWatermark: 6, logStart: 2}, true},
	} {
		if got := s.told(a, c.found); got != c.want {
			t.Errorf("%s: told %v, want %v", c.comment, got, c.want)
		}
	}
	data := at(6, 2)
	data.result.Size = 10
	if !s.told(a, data) || s.order.Back().Value.(*fetchEntry).fetchKey != a {
		t.Error("who had data is not told, or not last")
	}
	s.forget([]byte("a"), [16]byte{}, 0)
	if s.order.Len() != 1 || s.order.Front().Value.(*fetchEntry).fetchKey != b || len(s.entries) != 1 {
		t.Error("a is not forgotten")
	}
	s.put([]byte("b"), [16]byte{}, 0, fetchWish{offset: 9})
	if s.order.Len() != 1 || s.order.Front().Value.(*fetchEntry).offset != 9 {
		t.Error("b was not changed in place")
	}
}
