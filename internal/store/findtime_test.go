package store

import (
	"errors"
	"fmt"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
)

// stamp is a record of the model, as a search by time sees it.
type stamp struct {
	o  record.Offset
	ts int64
}

func (p *modelPartition) stamps(tb testing.TB) (all []stamp) {
	tb.Helper()
	for _, b := range p.batches {
		if err := record.Records(b.bytes, func(r record.Record) error {
			all = append(all, stamp{r.Offset, r.Timestamp})
			return nil
		}); err != nil {
			tb.Fatal(err)
		}
	}
	return all
}

// Searches by time find what a walk over all records finds, wherever those
// lie. Timestamps are random, so that the first of enough is rarely the last.
func TestFindTimeAgainstAWalk(t *testing.T) {
	for seed := range uint64(6) {
		w := newWorld(t, 100+seed, 2)
		for range 250 {
			w.step()
		}
		for range 2 { // with most of it in files of both levels, then after a restart
			w.tb = failing{t, fmt.Sprint("seed ", seed)}
			for _, l := range w.logs {
				for id, p := range l.parts {
					if !p.dropped && p.next > 0 {
						w.checkFind(id, p)
					}
				}
			}
			w.settle()
			w.reopen(false)
		}
		w.must(w.s.Close())
	}
}

func (w *world) checkFind(id record.PartitionID, p *modelPartition) {
	all := p.stamps(w.tb)
	for range 10 {
		from := p.floor + record.Offset(w.rng.Int64N(int64(p.next-p.floor)+1))
		limit := from + record.Offset(w.rng.Int64N(int64(p.next-from)+3))
		ts := w.rng.Int64N(1200)
		first, top := stamp{o: -1}, stamp{o: -1}
		for _, s := range all {
			if s.o < from || s.o >= limit {
				continue
			}
			if first.o < 0 && s.ts >= ts {
				first = s
			}
			if top.o < 0 || s.ts > top.ts {
				top = s
			}
		}
		f, ok, err := w.s.FindTime(id, from, limit, ts)
		if err != nil || ok != (first.o >= 0) || ok && (f.Offset != first.o || f.Timestamp != first.ts) {
			w.tb.Fatalf("time %d in [%d, %d) of partition %d: %+v %t %v, want %+v", ts, from, limit, id, f, ok, err, first)
		}
		f, ok, err = w.s.FindMaxTime(id, from, limit)
		if err != nil || ok != (top.o >= 0) || ok && (f.Offset != top.o || f.Timestamp != top.ts) {
			w.tb.Fatalf("largest time in [%d, %d) of partition %d: %+v %t %v, want %+v", from, limit, id, f, ok, err, top)
		}
	}
}

func TestFindTimeOfNoPartition(t *testing.T) {
	w := newWorld(t, 1, 1)
	defer w.s.Close()
	if _, _, err := w.s.FindTime(99, 0, 1, 0); !errors.Is(err, ErrNoPartition) {
		t.Fatal(err)
	}
}
