package broker

import (
	"slices"
	"time"

	"github.com/polylog-mq/polylog/internal/state/group"
)

// GroupWait is a JoinGroup or a SyncGroup that may have to wait for other
// members.
type GroupWait struct{ w groupWait }

// Cancel says that nobody is there any more to be answered: the connection is
// gone. The member stays, unless it has never been told its id, in which case it
// is removed at once and does not hold up the others. Done may be called all the
// same.
func (w *GroupWait) Cancel() { w.w.cancel() }

// groupWait is a request that waits, in groups.joins or groups.syncs.
type groupWait struct {
	g    *groups
	key  memberKey
	done func(group.Reply)
	// The rest belongs to the shard's loop.
	since     time.Duration // when it was parked
	in        map[memberKey]*groupWait
	cancelled bool
}

// answer parks the request behind a local command that has to wait. A request
// of the same member that waits already is answered: its sender has come again.
func (g *groups) answer(in map[memberKey]*groupWait, key memberKey, local *command, r group.Reply) {
	w := local.result.(*groupWait)
	local.result = r
	if _, ok := g.state.Session(key.group, key.member); ok {
		g.sessions.touch(key)
	}
	if !r.Waiting {
		return
	}
	if old := in[key]; old != nil {
		delete(in, key)
		old.done(refusal(ErrRebalancing))
	}
	w.since, w.in = g.s.b.opts.Clock.Mono(), in
	in[key] = w
	switch {
	case w.cancelled:
		g.leftAlone(w)
	case g.s.b.closed.Load():
		delete(in, key)
		w.done(refusal(ErrClosed))
	}
}

// wake answers a request that has waited. It may be gone: its connection was
// closed, or it waited on a leader before this one.
func (g *groups) wake(in map[memberKey]*groupWait, key memberKey, r group.Reply) {
	if _, ok := g.state.Session(key.group, key.member); ok {
		g.sessions.touch(key)
	}
	if w := in[key]; w != nil {
		delete(in, key)
		w.done(r)
	}
}

// abandon answers all that wait.
func (g *groups) abandon(err error) {
	for _, in := range []map[memberKey]*groupWait{g.joins, g.syncs} {
		for _, key := range sortedMembers(in) {
			w := in[key]
			delete(in, key)
			w.done(refusal(err))
		}
	}
}

func sortedMembers(in map[memberKey]*groupWait) []memberKey {
	keys := make([]memberKey, 0, len(in))
	for k := range in {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, memberKey.compare)
	return keys
}

func refusal(err error) group.Reply {
	return group.Reply{Err: err, Join: group.JoinReply{Err: err, Generation: -1}, Sync: group.SyncReply{Err: err}}
}

func (w *groupWait) cancel() {
	if w.g == nil {
		return // it was refused at once
	}
	w.g.s.group.Post(func() {
		w.cancelled = true
		if w.in != nil && w.in[w.key] == w {
			w.g.leftAlone(w)
		}
	})
}

// leftAlone takes out a request whose sender has gone.
func (g *groups) leftAlone(w *groupWait) {
	delete(w.in, w.key)
	known, ok := g.state.Session(w.key.group, w.key.member)
	switch {
	case !ok:
	case known.New:
		g.proposeOwn(&group.Expire{Group: w.key.group, Member: w.key.member, Seen: known.Seen})
	default:
		g.sessions.touch(w.key)
	}
}
