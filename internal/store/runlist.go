package store

import (
	"slices"
	"sort"

	"github.com/polylog-mq/polylog/internal/record"
)

// memRun is a run whose Pos is counted within its file.
type memRun struct {
	Run
	e *entry // nil if not known to be in memory
}

// runList holds the runs of a span in memory, in the order of offsets. It grows
// by pieces, since a file may have a quarter of a million runs.
type runList struct{ pieces [][]memRun }

func (l *runList) add(r *memRun) {
	n := len(l.pieces) - 1
	if n < 0 || len(l.pieces[n]) == pieceRuns {
		size := 1
		if n >= 0 {
			size = pieceRuns
		}
		l.pieces = append(l.pieces, make([]memRun, 0, size))
		n++
	}
	l.pieces[n] = append(l.pieces[n], *r)
}

// snapshot returns what the list holds now, for use without a lock: runs are
// only ever added.
func (l *runList) snapshot() [][]memRun { return slices.Clone(l.pieces) }

// from calls yield for the runs that end at offset o or later, until it returns
// false.
func (l *runList) from(o record.Offset, yield func(r *memRun) bool) {
	n := sort.Search(len(l.pieces), func(i int) bool {
		p := l.pieces[i]
		return p[len(p)-1].Last >= o
	})
	for ; n < len(l.pieces); n++ {
		p := l.pieces[n]
		i := sort.Search(len(p), func(i int) bool { return p[i].Last >= o })
		for ; i < len(p); i++ {
			if !yield(&p[i]) {
				return
			}
		}
	}
}
