package lease

import (
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
)

// saved returns the state that comes out of the pages of s.
func saved(t *testing.T, s *State, disk map[string][]byte) *State {
	t.Helper()
	s.Freeze()
	s.EncodePages(func(key, value []byte) {
		delete(disk, string(key))
		if value != nil {
			disk[string(key)] = append([]byte(nil), value...)
		}
	}, func() bool { return true })
	again := New(nil)
	for key, value := range disk {
		if err := again.RestorePage([]byte(key), value); err != nil {
			t.Fatal(err)
		}
	}
	if err := again.Restored(); err != nil {
		t.Fatal(err)
	}
	return again
}

// TestLettersArriveOnce: in a partition without a lease set too, across
// checkpoints, and still when it gets one.
func TestLettersArriveOnce(t *testing.T) {
	s, disk := New(nil), map[string][]byte{}
	arrive := func(from record.PartitionID, number uint64, want bool) {
		t.Helper()
		if got := s.Arrived(9, from, number); got != want {
			t.Errorf("letter %d of %d: %v", number, from, got)
		}
	}
	arrive(1, 1, true)
	arrive(1, 2, true)
	arrive(2, 1, true)
	arrive(1, 2, false)
	s = saved(t, s, disk)
	arrive(1, 2, false)
	arrive(1, 3, true)
	settings := DefaultSettings()
	s.Define(9, 0, &settings)
	arrive(1, 3, false)
	arrive(2, 2, true)
	s = saved(t, s, disk)
	if len(disk) != 1 {
		t.Errorf("%d pages instead of the set's", len(disk))
	}
	arrive(1, 3, false)
	arrive(2, 2, false)
	s.Drop(9)
	s.Arrived(8, 1, 1)
	s.Drop(8)
	if saved(t, s, disk); len(disk) != 0 {
		t.Errorf("%d pages of what is gone", len(disk))
	}
}

// TestArrivalsAreBounded: the oldest sources are forgotten.
func TestArrivalsAreBounded(t *testing.T) {
	s := New(nil)
	for from := range record.PartitionID(maxMoved + 1) {
		s.Arrived(1, from, 7)
	}
	if n := len(s.logs[1]); n != maxMoved/2+1 {
		t.Errorf("%d sources are known", n)
	}
	if s.Arrived(1, maxMoved, 7) || !s.Arrived(1, 0, 7) {
		t.Error("others than the oldest were forgotten")
	}
}
