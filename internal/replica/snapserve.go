package replica

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// This file is the sending side of a snapshot. A leader that has no log left
// for a member offers it the durable checkpoint, by Raft's MsgSnap; the
// member's host keeps that message back and asks for pages and data. Answering
// reads the disk, so it is done as work, off the loops.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// offer is a snapshot that this leader has offered a member: Raft sends that
// member nothing else until it has it, or the offer is withdrawn.
type offer struct {
	to   record.NodeID
	idle int // ticks without a sign that it is being fetched
}

// offer notes that Raft offers a snapshot.
func (g *Group) offer(m *raftpb.Message) {
	g.signOfLife(record.NodeID(m.GetTo()))
	for i := range g.offers {
		if g.offers[i].to == record.NodeID(m.GetTo()) {
			return
		}
	}
	g.offers = append(g.offers, offer{to: record.NodeID(m.GetTo())})
}

// signOfLife notes that a member is fetching the snapshot it was offered.
func (g *Group) signOfLife(from record.NodeID) {
	for i := range g.offers {
		if g.offers[i].to == from {
			g.offers[i].idle = 0
		}
	}
}

// tickOffers withdraws offers that nobody takes, so that Raft tries again.
func (g *Group) tickOffers() {
	if len(g.offers) == 0 {
		return
	}
	kept := g.offers[:0]
	for _, o := range g.offers {
		if o.idle++; !g.snapshotting(o.to) {
			continue
		}
		if o.idle >= snapshotIdleTicks {
			g.node.ReportSnapshot(uint64(o.to), raft.SnapshotFailure)
			continue
		}
		kept = append(kept, o)
	}
	g.offers = kept
}

// snapshotting reports whether Raft waits for a member to take a snapshot.
func (g *Group) snapshotting(id record.NodeID) (yes bool) {
	g.node.WithProgress(func(i uint64, _ raft.ProgressType, p tracker.Progress) {
		if i == uint64(id) {
			yes = p.State == tracker.StateSnapshot
		}
	})
	return yes
}

// receiveSnapshot takes a message about a snapshot.
func (g *Group) receiveSnapshot(from record.NodeID, m *SnapshotMessage) {
	switch m.Kind {
	case WantPages:
		g.signOfLife(from)
		if g.cut.durable >= m.Least {
			g.host.work.addIfFew(func() { g.host.pages.serve(g, from, m) })
		}
	case WantData:
		g.signOfLife(from)
		if g.Applied() >= m.At {
			g.host.work.addIfFew(func() { g.serveData(from, m) })
		}
	case Fetching:
		g.signOfLife(from)
	case SendPages:
		g.takePages(from, m)
	case SendData:
		g.takeData(from, m)
	}
}

// pageSessions are the checkpoints that other members are reading. Each is
// held open at its index, whatever checkpoints are taken meanwhile. They belong
// to whoever does the host's work.
type pageSessions struct {
	open  []*pageSession // least recently used first
	count atomic.Int32   // of open
}

type pageSession struct {
	group record.ShardID
	to    record.NodeID
	at    record.Index
	term  record.Term
	conf  []byte
	after []byte // the last key sent
	ahead *store.Page
	next  func() (store.Page, error, bool)
	stop  func()
	used  time.Duration
}

// serve answers a WantPages. Work is done one piece at a time, so no checkpoint
// is written between asking the store for its index and opening its pages.
func (s *pageSessions) serve(g *Group, to record.NodeID, m *SnapshotMessage) {
	mono := g.host.clock.Mono()
	p := s.find(g.id, to, m)
	if p == nil {
		if p = openPages(g, to, m); p == nil {
			return
		}
		s.add(p)
	}
	p.used = mono
	answer := &SnapshotMessage{Kind: SendPages, At: p.at, Term: p.term, Conf: p.conf, After: p.after}
	if err := p.fill(answer, g.host.tune.pageBytes); err != nil {
		g.host.fail(fmt.Errorf("reading pages of group %d for node %d: %w", g.id, to, err))
		return
	}
	if answer.Last {
		s.close(len(s.open) - 1)
	}
	g.host.send(to, Message{Group: g.id, Snapshot: answer})
}

// find returns the session that can go on as asked, as the most recently used
// one; another of the same member is closed.
func (s *pageSessions) find(g record.ShardID, to record.NodeID, m *SnapshotMessage) *pageSession {
	for i, p := range s.open {
		if p.group != g || p.to != to {
			continue
		}
		if p.at != m.At || !bytes.Equal(p.after, m.After) {
			s.close(i)
			return nil
		}
		s.open = append(append(s.open[:i], s.open[i+1:]...), p)
		return p
	}
	return nil
}

// add takes up a new session, at the expense of the oldest if there are many.
func (s *pageSessions) add(p *pageSession) {
	if len(s.open) >= maxPageSessions {
		s.close(0)
	}
	s.open = append(s.open, p)
	s.count.Add(1)
}

func (s *pageSessions) close(i int) {
	s.open[i].stop()
	s.open = append(s.open[:i], s.open[i+1:]...)
	s.count.Add(-1)
}

func (s *pageSessions) closeAll() {
	for len(s.open) > 0 {
		s.close(0)
	}
}

// expire has sessions closed that nobody uses.
func (s *pageSessions) expire(h *Host) {
	if s.count.Load() == 0 {
		return
	}
	h.work.add(func() {
		for len(s.open) > 0 && h.clock.Mono()-s.open[0].used > pageSessionIdle {
			s.close(0)
		}
	})
}

// openPages opens the durable checkpoint of a group; nil if it is too old.
func openPages(g *Group, to record.NodeID, m *SnapshotMessage) *pageSession {
	at, term, conf, ok := g.host.store.Applied(g.id)
	if !ok || at < m.Least {
		return nil
	}
	p := &pageSession{group: g.id, to: to, at: at, term: term, conf: conf}
	p.next, p.stop = iter.Pull2(func(yield func(store.Page, error) bool) {
		err := g.host.store.LoadPages(g.id, func(key, value []byte) error {
			if at == m.At && bytes.Compare(key, m.After) <= 0 {
				return nil // the member has it from an earlier session
			}
			if !yield(store.Page{Key: bytes.Clone(key), Value: bytes.Clone(value)}, nil) {
				return errStopPages
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopPages) {
			yield(store.Page{}, err)
		}
	})
	if at == m.At {
		p.after = m.After
	}
	return p
}

var errStopPages = errors.New("no more pages are wanted")

// fill takes the next pages into an answer, up to about limit bytes.
func (p *pageSession) fill(m *SnapshotMessage, limit int) error {
	for size := 0; ; {
		if p.ahead == nil {
			page, err, ok := p.next()
			if err != nil {
				return err
			}
			if !ok {
				m.Last = true
				break
			}
			p.ahead = &page
		}
		n := len(p.ahead.Key) + len(p.ahead.Value)
		if size > 0 && size+n > limit {
			break
		}
		size += n
		m.Pages = append(m.Pages, *p.ahead)
		p.after, p.ahead = p.ahead.Key, nil
	}
	m.Sum = sumPages(m.Pages)
	return nil
}

func sumPages(pages []store.Page) (sum uint32) {
	for i := range pages {
		sum = crc32.Update(sum, castagnoli, pages[i].Key)
		sum = crc32.Update(sum, castagnoli, pages[i].Value)
	}
	return sum
}

// serveData answers a WantData from a member's own store. What this member,
// having applied the snapshot's index, does not hold any more, nobody needs.
func (g *Group) serveData(to record.NodeID, m *SnapshotMessage) {
	answer := &SnapshotMessage{Kind: SendData, At: m.At, From: m.From, Range: m.Range}
	if err := g.readData(answer); err != nil {
		// The data is damaged or the store has closed: some other member may do
		// better.
		g.host.logger.Error("cannot send a snapshot's data", "group", uint32(g.id), "to", uint64(to), "err", err)
		return
	}
	g.host.send(to, Message{Group: g.id, Snapshot: answer})
}

// readData reads what follows m.From within m.Range, as much as fits.
func (g *Group) readData(m *SnapshotMessage) error {
	p, until := m.Range.Partition, m.Range.Next
	first, next, err := g.host.store.Bounds(p)
	from := max(m.From, first)
	if errors.Is(err, store.ErrNoPartition) || err == nil && from >= min(next, until) {
		return nil
	}
	if err != nil {
		return err
	}
	result := store.Result{Whole: true}
	defer result.Release()
	if err := g.host.store.Read(&result, p, from, until, snapshotDataBytes, true); err != nil {
		return err
	}
	buffers := result.Buffers
	for i := range result.Runs {
		var part [][]byte
		part, buffers = split(buffers, int(result.Runs[i].Len))
		if err := m.addRun(result.Runs[i], part); err != nil {
			return err
		}
	}
	if len(m.Runs) > 0 {
		m.Range.Next = min(until, result.Next)
	}
	m.Sum = crc32.Checksum(m.Body, castagnoli)
	return nil
}

// split takes the first n bytes off buffers.
func split(buffers [][]byte, n int) (first, rest [][]byte) {
	for len(buffers) > 0 && n >= len(buffers[0]) {
		n -= len(buffers[0])
		first, buffers = append(first, buffers[0]), buffers[1:]
	}
	if n > 0 && len(buffers) > 0 {
		first = append(first, buffers[0][:n])
		buffers = append([][]byte{buffers[0][n:]}, buffers[1:]...)
	}
	return first, buffers
}

// addRun adds the part of a run that was read: it becomes a run of its own.
func (m *SnapshotMessage) addRun(run store.Run, buffers [][]byte) error {
	pos := len(m.Body)
	for _, b := range buffers {
		m.Body = append(m.Body, b...)
	}
	base, last, maxTime := record.Offset(-1), record.Offset(-1), int64(record.NoTimestamp)
	err := record.Walk(m.Body[pos:], func(_ []byte, h record.Header) error {
		if base < 0 {
			base = h.BaseOffset
		}
		last, maxTime = h.LastOffset(), max(maxTime, h.MaxTimestamp)
		return nil
	})
	if err != nil {
		return fmt.Errorf("walking over a run of partition %d: %w", run.Partition, err)
	}
	run.FirstID.Seq += uint64(base - run.Base)
	run.Base, run.Last, run.MaxTimestamp = base, last, cmp.Or(maxTime, run.MaxTimestamp)
	run.Pos, run.Len = uint32(pos), uint32(len(m.Body)-pos)
	m.Runs = append(m.Runs, run)
	return nil
}
