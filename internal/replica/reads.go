package replica

import (
	"encoding/binary"

	"go.etcd.io/raft/v3"

	"github.com/polylog-mq/polylog/internal/record"
)

// reads are the ReadIndex calls that wait, oldest first. Calls of one step of
// the loop share one question to the majority.
type reads struct {
	waiting []read
	asked   uint64 // the latest question; its number begins at wall time, so as to be new after a restart
	fresh   bool   // the latest question has not been put yet
}

type read struct {
	question uint64
	index    record.Index // to be applied first; lastEntry until known
	age      int          // in ticks
	done     func(error)
}

// ReadIndex calls done(nil) once this member has applied everything that was
// committed when ReadIndex was called, having asked a majority (ReadOnlySafe).
// Any member may ask; done may also get ErrNotLeader (nobody leads), ErrBusy,
// ErrUnknown (no answer: ask again) or ErrStopped.
func (g *Group) ReadIndex(done func(error)) {
	if !g.loop.call(g, func() { g.addRead(done) }) {
		done(ErrStopped)
	}
}

func (g *Group) addRead(done func(error)) {
	switch {
	case g.stopped:
		done(ErrStopped)
	case g.lead == 0 || g.installing():
		done(NotLeaderError{})
	case len(g.reads.waiting) >= maxReads:
		done(ErrBusy)
	default:
		if !g.reads.fresh {
			g.reads.asked++
			g.reads.fresh = true
		}
		g.reads.waiting = append(g.reads.waiting, read{question: g.reads.asked, index: lastEntry, done: done})
	}
}

// askReads puts the question of this step's calls to Raft.
func (g *Group) askReads() {
	if !g.reads.fresh {
		return
	}
	g.reads.fresh = false
	if g.node == nil {
		g.readAlone()
		return
	}
	g.node.ReadIndex(binary.LittleEndian.AppendUint64(nil, g.reads.asked))
}

// states takes the majority's answers.
func (r *reads) states(states []raft.ReadState) {
	for _, s := range states {
		if len(s.RequestCtx) != 8 {
			continue
		}
		question := binary.LittleEndian.Uint64(s.RequestCtx)
		for i := range r.waiting {
			if r.waiting[i].question == question {
				r.waiting[i].index = record.Index(s.Index)
			}
		}
	}
}

// answer calls those whose index has been applied.
func (r *reads) answer(applied record.Index) {
	if len(r.waiting) > 0 {
		r.drop(nil, func(w *read) bool { return w.index <= applied })
	}
}

// tickReads gives up what was not answered: the question, or the answer, may
// have been lost on the way.
func (g *Group) tickReads() {
	if len(g.reads.waiting) == 0 {
		return
	}
	g.reads.drop(ErrUnknown, func(w *read) bool {
		w.age++
		return w.age > readTicks
	})
}

// end answers all that wait.
func (r *reads) end(err error) {
	r.fresh = false
	r.drop(err, func(*read) bool { return true })
}

// drop takes out those that which selects and calls them.
func (r *reads) drop(err error, which func(*read) bool) {
	var called []read
	kept := r.waiting[:0]
	for i := range r.waiting {
		if which(&r.waiting[i]) {
			called = append(called, r.waiting[i])
		} else {
			kept = append(kept, r.waiting[i])
		}
	}
	clear(r.waiting[len(kept):])
	r.waiting = kept
	for _, c := range called {
		c.done(err)
	}
}
