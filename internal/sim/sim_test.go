package sim

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var (
	seeds = flag.Uint64("seeds", 3, "how many seeds TestSeeds runs for each size of cluster")
	from  = flag.Uint64("from", 1, "the first seed")
)

func TestSeeds(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		for seed := *from; seed < *from+*seeds; seed++ {
			t.Run(fmt.Sprintf("nodes=%d/seed=%d", nodes, seed), func(t *testing.T) {
				o := Derive(seed, nodes)
				o.Safety = time.Minute
				r := Run(o)
				t.Log(r.Coverage)
				if r.Failure != nil {
					t.Fatal(r.Failure)
				}
			})
		}
	}
}

// TestASeedAlwaysTellsTheSame runs seeds twice: the product must leave nothing to
// chance but what the seed decides.
func TestASeedAlwaysTellsTheSame(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		o := Derive(7, nodes)
		o.Safety = time.Minute
		one, two := Run(o), Run(o)
		if one.Trace != two.Trace && !one.Unrepeatable {
			t.Errorf("%d nodes: one run has the trace %x, another %x", nodes, one.Trace, two.Trace)
		}
	}
}
