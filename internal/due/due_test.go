package due

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

type job struct {
	Place
	at, id int
}

func (j *job) Before(o *job) bool {
	return cmp.Or(cmp.Compare(j.at, o.at), cmp.Compare(j.id, o.id)) < 0
}

// TestQueue plays random sets and removals against a sorted slice.
func TestQueue(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var q Queue[*job]
	var want []*job
	jobs := make([]job, 50)
	for i := range jobs {
		jobs[i].id = i
	}
	for step := range 5000 {
		j := &jobs[rng.IntN(len(jobs))]
		at := slices.Index(want, j)
		switch what := rng.IntN(100); {
		case what == 0:
			q.Clear()
			want = want[:0]
		case what < 40:
			q.Remove(j)
			if at >= 0 {
				want = slices.Delete(want, at, at+1)
			}
		default:
			j.at = rng.IntN(20)
			q.Set(j)
			if at < 0 {
				want = append(want, j)
			}
		}
		check(t, step, &q, want, jobs)
	}
	for len(want) > 0 {
		q.Remove(q.First())
		want = want[1:]
		check(t, -1, &q, want, jobs)
	}
}

// check compares the queue with what it should hold, which it sorts.
func check(t *testing.T, step int, q *Queue[*job], want []*job, jobs []job) {
	t.Helper()
	slices.SortFunc(want, func(a, b *job) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) })
	if q.Len() != len(want) || len(want) > 0 && q.First() != want[0] {
		t.Fatalf("step %d: %d items, want %d, or another first one", step, q.Len(), len(want))
	}
	for i := range jobs {
		if j := &jobs[i]; q.Has(j) != slices.Contains(want, j) || j.Queued() != q.Has(j) {
			t.Fatalf("step %d: job %d does not know whether it waits", step, i)
		}
	}
}
