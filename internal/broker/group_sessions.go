package broker

import (
	"cmp"
	"time"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/due"
	"github.com/polylog-mq/polylog/internal/state/group"
)

// sessions watches, on the leader, over the members of a shard's groups. A sign
// of life moves a number; whether it came in time is looked at when the time
// noted before is over. Nothing of it is logged but the end of a session.
type sessions struct {
	g        *groups
	byMember map[memberKey]*watch
	queue    due.Queue[*watch]
	timer    clock.Timer
	armedFor time.Duration // 0: not armed
}

// watch is the watch over one member. Times are those of the monotonic clock.
type watch struct {
	due.Place
	key memberKey
	due time.Duration // when the session is over
	at  time.Duration // when to look next, never after due
}

func (s *sessions) init(g *groups) {
	s.g = g
	s.byMember = map[memberKey]*watch{}
}

// touch begins the member's session anew.
func (s *sessions) touch(key memberKey) {
	known, ok := s.g.state.Session(key.group, key.member)
	if !ok || !s.g.s.leads.Load() {
		return
	}
	due := s.g.s.b.opts.Clock.Mono() + time.Duration(known.Timeout)*time.Millisecond
	w := s.byMember[key]
	switch {
	case w == nil:
		w = &watch{key: key, due: due, at: due}
		s.byMember[key] = w
		s.queue.Set(w)
	case due < w.at: // it has a shorter timeout now
		w.due, w.at = due, due
		s.queue.Set(w)
	default:
		w.due = due
		return
	}
	s.arm()
}

// arm sets the timer to the next look.
func (s *sessions) arm() {
	if s.queue.Len() == 0 || s.armedFor > 0 && s.armedFor <= s.queue.First().at {
		return
	}
	s.armedFor = max(s.queue.First().at, 1)
	c := s.g.s.b.opts.Clock
	wait := max(s.armedFor-c.Mono(), 0)
	if s.timer == nil {
		s.timer = c.AfterFunc(wait, func() { s.g.s.group.Post(s.look) })
		return
	}
	s.timer.Reset(wait)
}

// look judges the members whose time to look has come.
func (s *sessions) look() {
	s.armedFor = 0
	now := s.g.s.b.opts.Clock.Mono()
	for s.queue.Len() > 0 && s.queue.First().at <= now {
		w := s.queue.First()
		known, ok := s.g.state.Session(w.key.group, w.key.member)
		if !ok {
			s.queue.Remove(w)
			delete(s.byMember, w.key)
			continue
		}
		w.at = s.judge(w, known, now)
		s.queue.Set(w)
	}
	s.arm()
}

// judge ends the session of a member that is overdue, and returns when to look
// again. Who waits for an answer is alive as far as one can tell; but one that
// has not been told its id yet could not even retry with it, so that what is
// left of it by a broken connection must not stay for ever.
func (s *sessions) judge(w *watch, known group.Session, now time.Duration) time.Duration {
	timeout := max(time.Duration(known.Timeout)*time.Millisecond, time.Millisecond)
	join, sync := s.g.joins[w.key], s.g.syncs[w.key]
	switch {
	case join != nil && known.New:
		if limit := join.since + group.NewMemberTimeout*time.Millisecond; now < limit {
			return limit
		}
	case join != nil || sync != nil:
		return now + timeout
	case now < w.due:
		return w.due
	}
	s.g.proposeOwn(&group.Expire{Group: w.key.group, Member: w.key.member, Seen: known.Seen})
	return now + timeout // if the proposal is lost
}

// clear ends all watching.
func (s *sessions) clear() {
	clear(s.byMember)
	s.queue.Clear()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.armedFor = 0
}

// Before orders by the time to look.
func (w *watch) Before(o *watch) bool {
	return cmp.Or(cmp.Compare(w.at, o.at), w.key.compare(o.key)) < 0
}

func (k memberKey) compare(o memberKey) int {
	return cmp.Or(cmp.Compare(k.group, o.group), cmp.Compare(k.member, o.member))
}
