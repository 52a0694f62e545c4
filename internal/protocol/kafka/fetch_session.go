package kafka

import (
	"container/list"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/polylog-mq/polylog/internal/protocol/kafka/wire"
)

// fetchSessions is the server's cache of fetch sessions (KIP-227): what a
// client wants to fetch, remembered so that each request need only say what
// has changed, and each answer only what is new. A session is a saving and
// never an obligation: when there is no room, id 0 says so and the client goes
// on without.
type fetchSessions struct {
	mu         sync.Mutex
	byID       map[int32]*fetchSession
	byUse      *list.List // of *fetchSession, the longest unused first
	partitions int        // in all sessions
	rand       *rand.Rand
}

// fetchSession is one session. Its lock is taken before that of the cache.
type fetchSession struct {
	id         int32
	byTopicID  bool // requests name topics by id (version 13)
	element    *list.Element
	created    time.Duration // on the monotonic clock
	used       time.Duration // guarded by the cache
	partitions int           // what the cache has counted; guarded by it

	mu      sync.Mutex
	epoch   int32 // that the next request must have
	entries map[fetchKey]*list.Element
	order   *list.List // of *fetchEntry; whoever had data goes to the end
}

// fetchKey names a partition as the client does: by the topic's name or by its
// id.
type fetchKey struct {
	name   string
	id     [16]byte
	number int32
}

// fetchEntry is a partition of a session.
type fetchEntry struct {
	fetchKey
	fetchWish
	// What the client was told last; -1 after an error, so that the first
	// answer without one is told again.
	highWatermark, logStart int64
}

// fetchWish is what a client wants of a partition.
type fetchWish struct {
	offset      int64
	maxBytes    int32
	leaderEpoch int32 // -1: unknown to the client
	lastEpoch   int32 // of the last record that the client has, -1: unknown
}

const (
	sessionless  = 0  // the session id that means none
	initialEpoch = 0  // asks for a new session
	finalEpoch   = -1 // ends a session, or asks for none
)

func newFetchSessions(seed uint64) *fetchSessions {
	return &fetchSessions{
		byID:  make(map[int32]*fetchSession),
		byUse: list.New(),
		rand:  rand.New(rand.NewPCG(seed, 0)), //nolint:gosec // ids tell sessions apart; they guard nothing
	}
}

// get returns a session, nil if there is none.
func (s *fetchSessions) get(id int32) *fetchSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[id]
}

// close ends a session, if it exists.
func (s *fetchSessions) close(id int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.byID[id]; f != nil {
		s.remove(f)
	}
}

func (s *fetchSessions) remove(f *fetchSession) {
	delete(s.byID, f.id)
	s.byUse.Remove(f.element)
	s.partitions -= f.partitions
}

// create begins a session for so many partitions, nil if there is no room.
func (s *fetchSessions) create(now time.Duration, partitions int, byTopicID bool) *fetchSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byID) >= maxFetchSessions && !s.evict(now, partitions) || s.partitions+partitions > maxSessionPartitions {
		return nil
	}
	f := &fetchSession{
		id: s.newID(), byTopicID: byTopicID, created: now, used: now, partitions: partitions,
		epoch: nextEpoch(initialEpoch), entries: make(map[fetchKey]*list.Element, partitions), order: list.New(),
	}
	f.element = s.byUse.PushBack(f)
	s.byID[f.id] = f
	s.partitions += partitions
	return f
}

// evict makes room for a session of so many partitions, as KIP-227 says: at the
// cost of the session longest unused, if that is long enough, or else of the
// smallest that has had its time and is smaller than the new one.
func (s *fetchSessions) evict(now time.Duration, partitions int) bool {
	if f := s.byUse.Front().Value.(*fetchSession); now-f.used > sessionEviction {
		s.remove(f)
		return true
	}
	var smallest *fetchSession
	for e := s.byUse.Front(); e != nil; e = e.Next() {
		f := e.Value.(*fetchSession)
		if now-f.created > sessionEviction && (smallest == nil || f.partitions < smallest.partitions) {
			smallest = f
		}
	}
	if smallest == nil || smallest.partitions >= partitions {
		return false
	}
	s.remove(smallest)
	return true
}

func (s *fetchSessions) newID() int32 {
	for {
		id := 1 + s.rand.Int32N(math.MaxInt32)
		if s.byID[id] == nil {
			return id
		}
	}
}

// touch notes that a session was used and has so many partitions now. It
// returns false, and ends the session, when there is no room for them.
func (s *fetchSessions) touch(f *fetchSession, now time.Duration, partitions int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[f.id] != f {
		return false // closed or evicted in between
	}
	if s.partitions+partitions-f.partitions > maxSessionPartitions {
		s.remove(f)
		return false
	}
	s.partitions += partitions - f.partitions
	f.partitions, f.used = partitions, now
	s.byUse.MoveToBack(f.element)
	return true
}

// nextEpoch returns the epoch that follows: it goes round to 1.
func nextEpoch(e int32) int32 {
	if e == math.MaxInt32 {
		return 1
	}
	return e + 1
}

// check judges an incremental request against the session.
func (f *fetchSession) check(epoch int32, byTopicID bool) (code int16) {
	switch {
	case f.epoch != epoch:
		return errInvalidFetchSessionEpoch
	case f.byTopicID != byTopicID:
		return errFetchSessionTopicIDError
	}
	return errNone
}

// put adds a partition or changes what is wanted of it. The caller holds mu.
func (f *fetchSession) put(name []byte, id [16]byte, number int32, wish fetchWish) {
	if e, ok := f.entries[fetchKey{string(name), id, number}]; ok {
		e.Value.(*fetchEntry).fetchWish = wish
		return
	}
	f.add(&fetchEntry{fetchKey: fetchKey{string(name), id, number}, fetchWish: wish, highWatermark: -1, logStart: -1})
}

func (f *fetchSession) add(e *fetchEntry) {
	f.entries[e.fetchKey] = f.order.PushBack(e)
}

// forget drops a partition. The caller holds mu.
func (f *fetchSession) forget(name []byte, id [16]byte, number int32) {
	if e, ok := f.entries[fetchKey{string(name), id, number}]; ok {
		delete(f.entries, fetchKey{string(name), id, number})
		f.order.Remove(e)
	}
}

// update applies an incremental request. The caller holds mu.
func (f *fetchSession) update(req *wire.FetchRequest) {
	for w := req.Topics(); w.NextTopic(); {
		for w.NextPartition() {
			f.put(w.Name, w.ID, w.Partition, wishOf(&w))
		}
	}
	for w := req.Forgotten(); w.NextTopic(); {
		for w.NextPartition() {
			f.forget(w.Name, w.ID, w.Partition)
		}
	}
}

func wishOf(w *wire.FetchWalk) fetchWish {
	return fetchWish{offset: w.Offset, maxBytes: w.MaxBytes, leaderEpoch: w.LeaderEpoch, lastEpoch: w.LastEpoch}
}

// told notes what an answer says of a partition, and reports whether the answer
// has to say it: whatever is as the client knows it is left out. The caller
// holds mu.
func (f *fetchSession) told(key fetchKey, a *fetchFound) bool {
	element, ok := f.entries[key]
	if !ok {
		return true // forgotten by another request in between
	}
	e := element.Value.(*fetchEntry)
	must := a.code != errNone || a.diverges || a.highWatermark != e.highWatermark || a.logStart != e.logStart
	e.highWatermark, e.logStart = a.highWatermark, a.logStart
	if a.result.Size > 0 {
		f.order.MoveToBack(element)
		return true
	}
	return must
}
