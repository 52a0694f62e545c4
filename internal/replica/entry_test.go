package replica

import (
	"bytes"
	"errors"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// entriesForTest returns n entries from an index on.
func entriesForTest(from uint64, n, size int) (out []*raftpb.Entry) {
	for i := range uint64(n) {
		out = append(out, &raftpb.Entry{
			Index: new(from + i), Term: new(uint64(1)), Data: make([]byte, size),
		})
	}
	return out
}

func TestEntryHeader(t *testing.T) {
	for _, hold := range []bool{false, true} {
		b := append(appendEntryHeader(nil, 1234567890123, hold), "body"...)
		now, held, body, err := parseEntry(b)
		if err != nil || now != 1234567890123 || held != hold || string(body) != "body" {
			t.Fatalf("%d %v %q %v", now, held, body, err)
		}
	}
	good := appendEntryHeader(nil, 1, false)
	if want := []byte{1, 0, 1, 0, 0, 0, 0, 0, 0, 0}; !bytes.Equal(good, want) {
		t.Fatalf("the header is % x, docs/format/replica.md says % x", good, want)
	}
	for _, bad := range [][]byte{nil, good[:9], append([]byte{2}, good[1:]...), append([]byte{1, 2}, good[2:]...)} {
		if _, _, _, err := parseEntry(bad); !errors.Is(err, errEntry) {
			t.Fatalf("% x: %v", bad, err)
		}
	}
}

func TestBootstrap(t *testing.T) {
	cut, err := Bootstrap(3, 1, 2, 5)
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseCutMeta(cut.Conf)
	if err != nil || len(m.conf.GetVoters()) != 3 || m.conf.GetVoters()[2] != 5 || cut.Group != 3 ||
		cut.Applied != 1 || cut.Term != 1 || cut.CompactTo != 1 {
		t.Fatalf("%+v, %v, %v", cut, m.conf, err)
	}
}

func FuzzCutMeta(f *testing.F) {
	cut, err := Bootstrap(3, 1, 2, 5)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cut.Conf)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseCutMeta(b)
		if err != nil {
			return
		}
		again, err := m.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		n, err := parseCutMeta(again)
		if err != nil || n.now != m.now || n.hold != m.hold || !proto.Equal(n.conf, m.conf) {
			t.Fatalf("% x became % x: %v", b, again, err)
		}
	})
}

func TestRaftLogRemembersWhatIsOnItsWay(t *testing.T) {
	s := newMemStore()
	l := raftLog{group: 1, storage: s, log: s.log(1)}
	l.keep(entriesForTest(5, 5, 100)) // 5 to 9
	read := func(lo, hi, size uint64) int {
		t.Helper()
		es, err := l.Entries(lo, hi, size)
		if err != nil {
			return 0
		}
		if len(es) == 0 || es[0].GetIndex() != lo {
			t.Fatalf("%d to %d: %v", lo, hi, es)
		}
		return len(es)
	}
	if read(5, 10, 1<<20) != 5 || read(7, 9, 1<<20) != 2 || read(6, 10, 250) != 2 || read(6, 10, 0) != 1 {
		t.Fatal("entries are missing")
	}
	if read(4, 6, 1<<20) != 0 || read(9, 11, 1<<20) != 0 {
		t.Fatal("entries outside the window were found")
	}
	l.forget(6)
	if read(6, 8, 1<<20) != 0 || read(7, 10, 1<<20) != 3 {
		t.Fatal("forgetting went wrong")
	}
	l.keep(entriesForTest(8, 1, 100)) // replaces 8 and 9
	if read(7, 9, 1<<20) != 2 || read(7, 10, 1<<20) != 0 {
		t.Fatal("replacing the end went wrong")
	}
	l.keep(entriesForTest(3, 2, 100)) // replaces everything
	if read(3, 5, 1<<20) != 2 || read(7, 8, 1<<20) != 0 {
		t.Fatal("replacing everything went wrong")
	}
	l.forget(100)
	if len(l.recent) != 0 {
		t.Fatal("forgetting everything went wrong")
	}
}

func TestOpenLogHoldsTheLogAgainstItsCheckpoint(t *testing.T) {
	boot, err := Bootstrap(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	at := func(applied record.Index, hard store.HardState, first record.Index, terms ...record.Term) *memStore {
		s := newMemStore()
		boot := boot
		boot.Applied = applied
		s.bootstrap(boot)
		g := s.now.group(1)
		g.hard, g.first, g.entries, g.baseTerm = hard, first, nil, 1
		for i, term := range terms {
			g.entries = append(g.entries, store.Entry{Index: first + record.Index(i), Term: term})
		}
		return s
	}
	for _, tc := range []struct {
		what   string
		s      *memStore
		term   uint64
		vote   uint64
		commit uint64
		err    error
	}{
		{"just born", at(1, store.HardState{}, 2), 1, 0, 1, nil},
		{"commit from the hard state", at(1, store.HardState{Term: 2, Vote: 1, Commit: 3}, 2, 1, 2), 2, 1, 3, nil},
		{"commit from the checkpoint", at(3, store.HardState{Term: 2, Vote: 1, Commit: 2}, 2, 1, 2, 2), 2, 1, 3, nil},
		{"a torn hard state", at(1, store.HardState{Term: 2, Vote: 1, Commit: 2}, 2, 1, 3), 3, 0, 2, nil},
		{"torn entries", at(1, store.HardState{Term: 2, Vote: 1, Commit: 9}, 2, 1, 2), 2, 1, 3, nil},
		{"a log below its checkpoint", at(5, store.HardState{Term: 2}, 2, 1, 2), 0, 0, 0, errLogShort},
		{"a gap behind the checkpoint", at(1, store.HardState{Term: 2}, 4, 2, 2), 0, 0, 0, errLogShort},
	} {
		l, _, _, err := openLog(1, tc.s)
		if !errors.Is(err, tc.err) {
			t.Errorf("%s: %v", tc.what, err)
		}
		if err != nil {
			continue
		}
		if h := l.hard; h.GetTerm() != tc.term || h.GetVote() != tc.vote || h.GetCommit() != tc.commit {
			t.Errorf("%s: term %d, vote %d, commit %d", tc.what, h.GetTerm(), h.GetVote(), h.GetCommit())
		}
	}
}

func FuzzEntry(f *testing.F) {
	f.Add(appendEntryHeader(nil, 77, false))
	f.Add(append(appendEntryHeader(nil, 1<<40, true), "body"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		now, hold, body, err := parseEntry(b)
		if err != nil {
			return
		}
		if again := append(appendEntryHeader(nil, now, hold), body...); !bytes.Equal(again, b) {
			t.Fatalf("% x became % x", b, again)
		}
	})
}
