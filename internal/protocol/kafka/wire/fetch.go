package wire

import "fmt"

// FetchRequest walks a Fetch request, versions 4 and later, where it lies: its
// byte slices alias the body, and nothing is allocated.
type FetchRequest struct {
	MaxWaitMillis int32
	MinBytes      int32
	MaxBytes      int32
	// Isolation is 0 for read_uncommitted and 1 for read_committed.
	Isolation int8
	// SessionID and SessionEpoch are 0 and -1 before version 7: no session.
	SessionID    int32
	SessionEpoch int32

	version           int16
	topics, forgotten reader
}

const (
	fetchFlexible = 12
	fetchTopicIDs = 13
)

// ParseFetch checks that body is a whole Fetch request, so that walking it
// cannot fail half-way.
func ParseFetch(body []byte, version int16) (FetchRequest, error) {
	r := reader{b: body}
	f := FetchRequest{version: version, SessionEpoch: -1}
	if version <= 14 {
		r.int32() // replica id: followers do not come this way
	}
	f.MaxWaitMillis, f.MinBytes, f.MaxBytes = r.int32(), r.int32(), r.int32()
	f.Isolation = r.int8()
	if version >= 7 {
		f.SessionID, f.SessionEpoch = r.int32(), r.int32()
	}
	f.topics = r
	r = f.Topics().end()
	if version >= 7 {
		f.forgotten = r
		r = f.Forgotten().end()
	}
	if version >= 11 {
		r.str(version >= fetchFlexible) // rack: there is no nearer replica to name
	}
	if version >= fetchFlexible {
		r.tags()
	}
	if r.bad {
		return f, fmt.Errorf("%w: the body of a Fetch request, version %d, %d bytes", ErrMalformed, version, len(body))
	}
	return f, nil
}

// Topics begins a walk over what is to be fetched.
func (f *FetchRequest) Topics() FetchWalk {
	return beginFetchWalk(f.topics, f.version, false)
}

// Forgotten begins a walk over what the session is to forget. Only the topic
// and the partition number of each step mean something.
func (f *FetchRequest) Forgotten() FetchWalk {
	return beginFetchWalk(f.forgotten, f.version, true)
}

// FetchWalk goes through the topics of a request, and through the partitions of
// each, like ProduceWalk.
type FetchWalk struct {
	// Name and ID are those of the topic; before version 13 there is no id,
	// from then on no name.
	Name []byte
	ID   [16]byte

	Partition int32
	// LeaderEpoch is the client's idea of the leader epoch, -1 if none.
	LeaderEpoch int32
	Offset      int64
	// LastEpoch is the epoch of the last record that the client has, -1 if
	// none.
	LastEpoch int32
	MaxBytes  int32

	version    int16
	bare       bool // the partitions are bare numbers
	r          reader
	topics     int
	partitions int
	inTopic    bool
}

func beginFetchWalk(r reader, version int16, bare bool) FetchWalk {
	w := FetchWalk{version: version, bare: bare, r: r}
	if r.b != nil { // nil: the version has no such list
		w.topics = w.r.count(w.flexible())
	}
	return w
}

func (w *FetchWalk) flexible() bool { return w.version >= fetchFlexible }

// end goes through all of the walk and returns what comes after.
func (w FetchWalk) end() reader {
	for w.NextTopic() {
		for w.NextPartition() {
		}
	}
	return w.r
}

// NextTopic moves to the next topic, whose partitions must then be gone
// through. It returns false at the end.
func (w *FetchWalk) NextTopic() bool {
	if w.topics == 0 || w.r.bad {
		return false
	}
	w.topics--
	if w.version >= fetchTopicIDs {
		w.ID = w.r.uuid()
	} else {
		w.Name = w.r.str(w.flexible())
	}
	w.partitions = w.r.count(w.flexible())
	w.inTopic = !w.r.bad
	return w.inTopic
}

// NextPartition moves to the topic's next partition. It returns false at the
// end.
func (w *FetchWalk) NextPartition() bool {
	if w.partitions == 0 || w.r.bad {
		if w.inTopic && w.flexible() {
			w.r.tags()
		}
		w.inTopic = false
		return false
	}
	w.partitions--
	w.Partition = w.r.int32()
	if !w.bare {
		w.partition()
	}
	return !w.r.bad
}

func (w *FetchWalk) partition() {
	w.LeaderEpoch, w.LastEpoch = -1, -1
	if w.version >= 9 {
		w.LeaderEpoch = w.r.int32()
	}
	w.Offset = w.r.int64()
	if w.version >= 12 {
		w.LastEpoch = w.r.int32()
	}
	if w.version >= 5 {
		w.r.int64() // the follower's log start
	}
	w.MaxBytes = w.r.int32()
	if w.flexible() {
		w.r.tags()
	}
}

// FetchResponse writes a Fetch response, versions 4 and later, part by part:
// Begin, for each topic Topic, its Partitions and EndTopic, then End. Record
// bytes are spliced into the output, not copied.
type FetchResponse struct{ Version int16 }

func (f FetchResponse) flexible() bool { return f.Version >= fetchFlexible }

// Begin writes what comes before the topics. The code is that of the request
// as a whole (version 7).
func (f FetchResponse) Begin(out *Output, throttleMillis int32, code int16, session int32, topics int) {
	out.B = appendInt32(out.B, throttleMillis)
	if f.Version >= 7 {
		out.B = appendInt16(out.B, code)
		out.B = appendInt32(out.B, session)
	}
	out.B = appendCount(out.B, topics, f.flexible())
}

// Topic begins a topic: its name before version 13, its id from then on.
func (f FetchResponse) Topic(out *Output, name string, id [16]byte, partitions int) {
	if f.Version >= fetchTopicIDs {
		out.B = append(out.B, id[:]...)
	} else {
		out.B = appendString(out.B, name, f.flexible())
	}
	out.B = appendCount(out.B, partitions, f.flexible())
}

// FetchedPartition is the answer for one partition.
type FetchedPartition struct {
	Partition     int32
	Code          int16
	HighWatermark int64
	LastStable    int64
	LogStart      int64
	// Aborted lists the aborted transactions that the records overlap; nil is
	// null, which is what read_uncommitted gets.
	Aborted []AbortedTransaction
	// Diverging says where the client's log and this one part (version 12),
	// nil if they do not.
	Diverging *EpochEnd
	// Leader is the hint that goes with NOT_LEADER_OR_FOLLOWER (version 12).
	Leader Leader
	// Records are consecutive whole batches; none is an empty set, not null.
	Records [][]byte
	// Size is the number of bytes in Records.
	Size int
}

// AbortedTransaction is one aborted transaction and its first offset.
type AbortedTransaction struct{ ProducerID, FirstOffset int64 }

// EpochEnd is the largest epoch that two logs may share and the offset at
// which it ends.
type EpochEnd struct {
	Epoch     int32
	EndOffset int64
}

// Partition writes the answer for one partition.
func (f FetchResponse) Partition(out *Output, a *FetchedPartition) {
	b := appendInt32(out.B, a.Partition)
	b = appendInt16(b, a.Code)
	b = appendInt64(b, a.HighWatermark)
	b = appendInt64(b, a.LastStable)
	if f.Version >= 5 {
		b = appendInt64(b, a.LogStart)
	}
	n := len(a.Aborted)
	if a.Aborted == nil {
		n = -1
	}
	b = appendCount(b, n, f.flexible())
	for _, t := range a.Aborted {
		b = appendInt64(b, t.ProducerID)
		b = appendInt64(b, t.FirstOffset)
		b = f.noTags(b)
	}
	if f.Version >= 11 {
		b = appendInt32(b, -1) // preferred read replica: none
	}
	out.B = appendCount(b, a.Size, f.flexible())
	for _, r := range a.Records {
		out.Splice(r)
	}
	f.partitionTags(out, a)
}

func (f FetchResponse) partitionTags(out *Output, a *FetchedPartition) {
	if !f.flexible() {
		return
	}
	at := len(out.B)
	out.B = append(out.B, 0)
	if d := a.Diverging; d != nil {
		out.B[at]++
		out.B = append(out.B, 0, 4+8+1)
		out.B = appendInt32(out.B, d.Epoch)
		out.B = appendInt64(out.B, d.EndOffset)
		out.B = append(out.B, 0)
	}
	if a.Leader.Node >= 0 {
		out.B[at]++
		out.B = appendLeader(out.B, 1, a.Leader)
	}
}

// EndTopic ends a topic.
func (f FetchResponse) EndTopic(out *Output) { out.B = f.noTags(out.B) }

// End writes what comes after the topics. The nodes are those that the hints
// name (version 16).
func (f FetchResponse) End(out *Output, nodes []Endpoint) {
	if f.Version >= 16 && len(nodes) > 0 {
		out.B = appendEndpoints(append(out.B, 1), 0, nodes)
		return
	}
	out.B = f.noTags(out.B)
}

func (f FetchResponse) noTags(dst []byte) []byte {
	if f.flexible() {
		return append(dst, 0)
	}
	return dst
}
