package store

import (
	"slices"
	"testing"
)

func TestPlan(t *testing.T) {
	const mib = 1 << 20
	r := Rewriting{ShortRun: 1000, MinFiles: 3, MaxFiles: 4, MaxDebt: 1000 * mib}
	r.defaults()
	long := candidate{size: 64 * mib, live: 60 * mib, runs: 60, ready: true}
	short := candidate{size: 64 * mib, live: 60 * mib, runs: 1 << 20, ready: true}
	dead := candidate{size: 64 * mib, live: 20 * mib, runs: 20, ready: true}
	empty := candidate{size: 64 * mib, ready: true}
	settled := candidate{size: 64 * mib, live: 60 * mib, settled: 60 * mib, runs: 60, ready: true}
	wait := func(c candidate) candidate { c.ready = false; return c }
	level1 := func(c candidate) candidate { c.level = 1; return c }
	big := candidate{level: 1, size: 1000 * mib, live: 450 * mib, runs: 10, ready: true}
	for _, c := range []struct {
		what  string
		files []candidate
		want  []int
		debt  int64 // MiB
	}{
		{"nothing", nil, nil, 0},
		{"long runs stay", []candidate{long, long, long, long}, nil, 0},
		{"too few short ones", []candidate{short, long, short}, nil, 0},
		{"enough short ones", []candidate{short, long, short, short}, []int{0, 2, 3}, 64},
		{"no more than four", []candidate{short, short, short, short, short, short}, []int{0, 1, 2, 3}, 4 * 64},
		{"not those in memory", []candidate{short, short, wait(short), wait(short)}, nil, 2 * 64},
		{"sorted ones stay", []candidate{level1(short), level1(short), level1(short)}, nil, 0},
		{"one that is mostly dead", []candidate{long, dead}, []int{1}, 64},
		{"and those that wait go with it", []candidate{short, level1(dead)}, []int{0, 1}, 64},
		{"one of which most is settled", []candidate{long, settled}, []int{1}, 64},
		{"an empty one is freed whole", []candidate{empty, empty, empty}, nil, 0},
		{"no more than half a gigabyte", []candidate{big, big, dead}, []int{0, 2}, 2000 + 64},
		{"one of any size", []candidate{{level: 1, size: 1500 * mib, live: 700 * mib, runs: 1, ready: true}}, []int{0}, 1500},
	} {
		if got := r.plan(c.files); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
		if got := r.debt(c.files) * 1000; int64(got+0.5) != c.debt {
			t.Errorf("%s: debt %.1f MiB, want %d", c.what, got, c.debt)
		}
	}
}
