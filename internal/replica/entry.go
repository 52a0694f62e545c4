package replica

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// Every entry that a leader proposes begins with a header; docs/format/replica.md
// draws it. Raft's own entries (a new leader's, changes of members) have none.
const (
	entryVersion    = 1
	entryHeaderSize = 10
	flagHold        = 1 << 0
)

var errEntry = errors.New("not an entry that this version knows")

// appendEntryHeader appends the header of an entry.
func appendEntryHeader(dst []byte, now record.LogTime, hold bool) []byte {
	var flags byte
	if hold {
		flags |= flagHold
	}
	dst = append(dst, entryVersion, flags)
	return binary.LittleEndian.AppendUint64(dst, uint64(now))
}

// parseEntry takes the header off an entry's data.
func parseEntry(data []byte) (now record.LogTime, hold bool, body []byte, err error) {
	if len(data) < entryHeaderSize || data[0] != entryVersion || data[1]&^flagHold != 0 {
		return 0, false, nil, errEntry
	}
	now = record.LogTime(binary.LittleEndian.Uint64(data[2:]))
	return now, data[1]&flagHold != 0, data[entryHeaderSize:], nil
}

// cutMeta is what a checkpoint remembers of a group beside its index and pages:
// the store keeps it as the group's Conf without looking into it. Its form is
// an entry header (the log time of the last entry, and whether expiry was
// held) and Raft's ConfState.
type cutMeta struct {
	now  record.LogTime
	hold bool
	conf *raftpb.ConfState
}

func (m cutMeta) append(dst []byte) ([]byte, error) {
	dst = appendEntryHeader(dst, m.now, m.hold)
	dst, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, m.conf)
	if err != nil {
		return nil, fmt.Errorf("encoding the members: %w", err)
	}
	return dst, nil
}

func parseCutMeta(b []byte) (m cutMeta, err error) {
	m.conf = &raftpb.ConfState{}
	var conf []byte
	if m.now, m.hold, conf, err = parseEntry(b); err != nil {
		return m, err
	}
	return m, proto.Unmarshal(conf, m.conf)
}

// Bootstrap returns the first checkpoint of a group whose members are voters,
// to be written on each of them before the group is opened (a node that joins
// later gets none). It stands at index 1, so that the log always begins behind
// a checkpoint that knows the members.
func Bootstrap(g record.ShardID, voters ...record.NodeID) (store.GroupCut, error) {
	m := cutMeta{conf: &raftpb.ConfState{}}
	for _, v := range voters {
		m.conf.Voters = append(m.conf.Voters, uint64(v))
	}
	conf, err := m.append(nil)
	return store.GroupCut{Group: g, Applied: 1, Term: 1, Conf: conf, CompactTo: 1}, err
}
