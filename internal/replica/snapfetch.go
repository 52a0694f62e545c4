package replica

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// This file is the receiving side of a snapshot: the pages of a durable
// checkpoint, then the data they count on as far as it is not here yet, then
// all of it made durable at once, and only then is the snapshot's message
// given to Raft. Until that moment this member is the one it was, with its old
// log; afterwards it holds everything that the snapshot says. So it never
// votes, counts or leads on data that it does not hold.

// incoming is a group's part in receiving a snapshot.
type incoming struct{ fetch *fetch }

// fetch is a snapshot on its way here.
type fetch struct {
	offer   *raftpb.Message // the latest MsgSnap
	least   record.Index    // its index
	applied record.Index    // what this member had applied when it last looked
	phase   fetchPhase

	// Pages, in the order of their keys, of the checkpoint at.
	at    record.Index
	term  record.Term
	conf  []byte
	pages []store.Page
	after []byte

	// Data.
	into    importer
	missing []Range                      // what is to be fetched, in order
	got     map[record.PartitionID]Range // what was fetched, over all checkpoints
	adding  bool                         // what came is being written

	asked  bool // a question is out,
	ticks  int  // for so long
	turn   int  // whom to ask: advanced when somebody does not answer
	age    int  // in ticks
	budget int  // bytes that may be fetched in this tick
}

type fetchPhase uint8

const (
	fetchPages fetchPhase = iota
	fetchData
	// fetchWait: all is here; writes and a cut of the group must end first.
	fetchWait
	// fetchCommit: it is being made durable. The group does nothing meanwhile.
	fetchCommit
)

// installing reports whether the group stands still because its store changes.
func (g *Group) installing() bool { return g.fetch != nil && g.fetch.phase == fetchCommit }

// offered takes a leader's offer of a snapshot.
func (g *Group) offered(from record.NodeID, m *raftpb.Message) {
	if m.GetTerm() < uint64(g.term) || g.isLeader {
		return
	}
	index := record.Index(m.GetSnapshot().GetMetadata().GetIndex())
	if index <= g.Applied() {
		// The offer is late; the log goes on from here.
		g.host.send(from, Message{Group: g.id, Raft: &raftpb.Message{
			Type: raftpb.MsgAppResp.Enum(), From: new(uint64(g.host.node)), To: new(uint64(from)),
			Term: new(uint64(g.term)), Index: new(uint64(g.Applied())),
		}})
		return
	}
	if g.logHolds(index, record.Term(m.GetSnapshot().GetMetadata().GetTerm())) {
		g.abandonFetch()
		g.stepRaft(m)
		return
	}
	if g.fetch == nil {
		g.fetch = &fetch{
			applied: g.Applied(), into: g.host.store.newImport(g.id), got: map[record.PartitionID]Range{}, budget: snapshotRate,
		}
	}
	f := g.fetch
	f.offer = m
	if index > f.least {
		f.least = index
		if f.at < f.least {
			f.restart()
		}
	}
}

// logHolds reports whether the log has the entry that a snapshot ends with, and so
// all that are in it. Such a snapshot must not be installed: what follows in the
// log may have been acknowledged, and would be gone. Raft only learns from it that
// so much is committed.
func (g *Group) logHolds(i record.Index, t record.Term) bool {
	last, err := g.log.LastIndex()
	if err != nil || uint64(i) > last {
		return false
	}
	term, err := g.log.Term(uint64(i))
	return err == nil && record.Term(term) == t
}

// restart begins with the pages again; data that is here stays.
func (f *fetch) restart() {
	f.phase, f.asked, f.turn = fetchPages, false, 0
	f.at, f.pages, f.after, f.missing = 0, nil, nil, nil
}

// abandonFetch forgets a snapshot on its way. Once it is being made durable
// there is no way back.
func (g *Group) abandonFetch() {
	if f := g.fetch; f != nil && f.phase != fetchCommit {
		g.fetch = nil
		g.host.work.add(f.into.Abort)
	}
}

// refetch looks at the offer anew: what was fetched does not fit what is here.
func (g *Group) refetch() {
	offer := g.fetch.offer
	g.abandonFetch()
	g.offered(record.NodeID(offer.GetFrom()), offer)
}

// tickFetch keeps the fetching going, and begins it, a little after the offer: a
// member that has just started learns meanwhile how much of its log is
// committed.
func (g *Group) tickFetch() {
	f := g.fetch
	if f == nil {
		return
	}
	if f.applied != g.Applied() && !g.stillFits() {
		return
	}
	f.budget = min(f.budget+snapshotRate, snapshotRate)
	if f.age++; f.age%snapshotAliveTicks == 0 {
		g.host.send(g.fetchSource(0), Message{Group: g.id, Snapshot: &SnapshotMessage{Kind: Fetching}})
	}
	if f.asked {
		if f.ticks++; f.ticks >= snapshotRetryTicks {
			f.asked = false
			f.turn++
		}
	}
	g.askSnapshot()
}

// stillFits looks at what is here anew, since entries were applied meanwhile.
// It reports false if that ends this fetch: leadership came with them, the log
// has caught up, or they brought records that were fetched too.
func (g *Group) stillFits() bool {
	f := g.fetch
	f.applied = g.Applied()
	if g.isLeader {
		g.abandonFetch()
		return false
	}
	fits := f.applied < f.least
	for p, got := range f.got {
		if _, next, err := g.host.store.Bounds(p); err == nil && next > got.From {
			fits = false
		}
	}
	if fits && f.phase != fetchPages {
		fits = g.findMissing() == nil
	}
	if !fits {
		g.refetch()
	}
	return fits
}

// fetchSource returns whom to ask: the leader first, then the other members in
// turn.
func (g *Group) fetchSource(turn int) record.NodeID {
	sources := []record.NodeID{g.lead}
	if g.lead == 0 {
		sources[0] = record.NodeID(g.fetch.offer.GetFrom())
	}
	for _, v := range g.status.Load().voters {
		if v != sources[0] && v != g.host.node {
			sources = append(sources, v)
		}
	}
	return sources[turn%len(sources)]
}

// askSnapshot asks for what is needed next.
func (g *Group) askSnapshot() {
	f := g.fetch
	if f.asked || f.adding || f.budget <= 0 {
		return
	}
	m := &SnapshotMessage{At: f.at, Least: f.least}
	switch f.phase {
	case fetchPages:
		m.Kind, m.After = WantPages, f.after
	case fetchData:
		m.Kind, m.From, m.Range = WantData, f.missing[0].From, f.missing[0]
	default:
		return
	}
	f.asked, f.ticks = true, 0
	g.host.send(g.fetchSource(f.turn), Message{Group: g.id, Snapshot: m})
}

// takePages takes pages of a checkpoint.
func (g *Group) takePages(from record.NodeID, m *SnapshotMessage) {
	f := g.fetch
	if f == nil || f.phase != fetchPages || m.At < f.least {
		return
	}
	if m.At != f.at && len(m.After) == 0 {
		// Another checkpoint than before.
		f.at, f.term, f.conf, f.pages, f.after = m.At, m.Term, m.Conf, nil, nil
	}
	if m.At != f.at || !bytes.Equal(m.After, f.after) {
		return // late or doubled
	}
	f.asked = false
	if sumPages(m.Pages) != m.Sum {
		g.badPart(from, errSum)
		return
	}
	for _, p := range m.Pages {
		f.pages = append(f.pages, p)
		f.after = p.Key
		f.budget -= len(p.Key) + len(p.Value)
	}
	if !m.Last {
		g.askSnapshot()
		return
	}
	if err := g.findMissing(); err != nil {
		g.badPart(from, err)
		f.restart()
		return
	}
	g.askSnapshot()
}

var (
	errSum    = errors.New("the checksum does not match")
	errRange  = errors.New("the runs do not lie in what was asked for")
	errCutGap = errors.New("the snapshot does not say who the members are")
)

// badPart notes that a member sent something useless; another is asked next.
func (g *Group) badPart(from record.NodeID, err error) {
	g.host.logger.Error("part of a snapshot is refused", "group", uint32(g.id), "from", uint64(from), "err", err)
	g.fetch.asked = false
	g.fetch.turn++
}

// findMissing compares what the state counts on with what is here.
func (g *Group) findMissing() error {
	f := g.fetch
	if _, err := parseCutMeta(f.conf); err != nil {
		return fmt.Errorf("%w: %w", errCutGap, err)
	}
	ranges, err := g.sm.SnapshotRanges(f.source())
	if err != nil {
		return fmt.Errorf("finding out what data a snapshot needs: %w", err)
	}
	f.missing = nil
	for _, r := range ranges {
		_, next, err := g.host.store.Bounds(r.Partition)
		if err != nil && !errors.Is(err, store.ErrNoPartition) {
			return err
		}
		if r.From = max(r.From, next, f.got[r.Partition].Next); r.From < r.Next {
			f.missing = append(f.missing, r)
		}
	}
	f.phase, f.turn = fetchData, 0
	if len(f.missing) == 0 {
		f.phase = fetchWait
	}
	return nil
}

// source shows the pages to the state machine.
func (f *fetch) source() PageSource {
	return func(yield func(key, value []byte) error) error {
		for _, p := range f.pages {
			if err := yield(p.Key, p.Value); err != nil {
				return err
			}
		}
		return nil
	}
}

// takeData takes records of a partition and has them written.
func (g *Group) takeData(from record.NodeID, m *SnapshotMessage) {
	f := g.fetch
	if f == nil || f.phase != fetchData || f.adding || len(f.missing) == 0 || m.At != f.at ||
		m.Range.Partition != f.missing[0].Partition || m.From != f.missing[0].From {
		return
	}
	f.asked = false
	if err := m.check(f.missing[0]); err != nil {
		g.badPart(from, err)
		return
	}
	f.adding = true
	g.host.work.add(func() {
		var err error
		for i := 0; i < len(m.Runs) && err == nil; i++ {
			err = f.into.Add(m.Runs[i], m.Body)
		}
		g.fetchWork(f, err, func() { g.added(m) })
	})
}

// fetchWork goes on, on the loop, after work for a fetch. An error that leaves
// the store alive means that the fetch has to begin anew.
func (g *Group) fetchWork(f *fetch, err error, then func()) {
	if errors.Is(err, store.ErrDead) {
		g.host.fail(fmt.Errorf("storing a snapshot of group %d: %w", g.id, err))
		return
	}
	g.loop.call(g, func() {
		switch {
		case g.fetch != f || g.stopped:
		case err != nil:
			g.host.logger.Warn("a snapshot is begun anew", "group", uint32(g.id), "err", err)
			f.phase = fetchPages
			g.refetch()
		default:
			then()
		}
	})
}

// check holds what came against what was asked for.
func (m *SnapshotMessage) check(want Range) error {
	if crc32.Checksum(m.Body, castagnoli) != m.Sum {
		return errSum
	}
	at, pos := want.From, uint32(0)
	for i := range m.Runs {
		r := &m.Runs[i]
		if r.Partition != want.Partition || r.Pos != pos || uint64(r.Pos)+uint64(r.Len) > uint64(len(m.Body)) {
			return errRange
		}
		err := record.Walk(m.Body[r.Pos:r.Pos+r.Len], func(batch []byte, h record.Header) error {
			if h.BaseOffset < r.Base || h.LastOffset() > r.Last {
				return errRange
			}
			_, err := record.Validate(batch, record.Checks{})
			return err
		})
		if err != nil {
			return err
		}
		if r.Last < at {
			return errRange
		}
		at, pos = r.Last+1, r.Pos+r.Len
	}
	if at > m.Range.Next || m.Range.Next > want.Next || m.Range.Next <= want.From {
		return errRange
	}
	return nil
}

// added goes on after records were written.
func (g *Group) added(m *SnapshotMessage) {
	f := g.fetch
	f.adding = false
	f.budget -= len(m.Body)
	done := Range{m.Range.Partition, m.From, m.Range.Next}
	if got := f.got[done.Partition]; got.Next > 0 {
		done.From = got.From
	}
	f.got[done.Partition] = done
	if f.phase == fetchData && f.missing[0].Partition == done.Partition && f.missing[0].From == m.From {
		if f.missing[0].From = done.Next; f.missing[0].From >= f.missing[0].Next {
			f.missing = f.missing[1:]
		}
		if len(f.missing) == 0 {
			f.phase = fetchWait
		}
	}
	g.askSnapshot()
}

// tryInstall makes a complete snapshot durable once nothing of the group is on
// its way to the store. It is called when Raft has nothing to say.
func (g *Group) tryInstall() {
	f := g.fetch
	if f == nil || f.phase != fetchWait || g.writing > 0 || g.cut.pending || f.applied != g.Applied() {
		return
	}
	if g.logHolds(f.at, f.term) {
		g.abandonFetch()
		g.stepRaft(f.offer)
		return
	}
	f.phase = fetchCommit
	g.reads.end(ErrUnknown)
	cut := store.GroupCut{
		Group: g.id, Applied: f.at, Term: f.term, Conf: f.conf, Pages: f.pages, CompactTo: f.at,
	}
	g.host.work.add(func() { g.fetchWork(f, f.into.Commit(cut), g.install) })
}

// install goes on from the snapshot that the store now holds, as after a
// restart, and gives Raft the message that offered it.
func (g *Group) install() {
	f := g.fetch
	g.fetch = nil
	g.cut = groupCut{durable: f.at, compacted: f.at}
	if err := g.start(); err != nil {
		g.host.fail(fmt.Errorf("starting group %d from a snapshot: %w", g.id, err))
		g.loop.stop()
		return
	}
	g.host.installed.Add(1)
	g.stepRaft(f.offer)
}
