package group

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// samples are one of each command.
func samples() []Command {
	return []Command{
		&Join{
			Group: "g", Member: "m", New: true, Instance: "i", RequireID: true, CanSkip: true, ClientID: "c",
			ClientHost: "h", SessionTimeout: 10_000, RebalanceTimeout: 60_000, ProtocolType: "consumer",
			Protocols: []Protocol{{"range", parseMetadata("@t1")}, {"sticky", nil}},
		},
		&Sync{
			Group: "g", Member: "m", Instance: "i", Generation: 7, ProtocolType: "consumer", Protocol: "range",
			Assignments: []Assignment{{"m", []byte("x")}, {"n", nil}},
		},
		&Leave{Group: "g", Members: []Leaver{{"m", ""}, {"", "i"}}},
		&Expire{Group: "g", Member: "m", Seen: 1 << 40},
		&Commit{
			Group: "g", Member: "m", Instance: "i", Generation: 7, Retention: 1000,
			Topics: []CommitTopic{{Topic: 1 << 40, Name: "t", Partitions: []CommitPartition{{3, 1 << 50, 9, "text"}, {4, -1, -1, ""}}}},
		},
		&Delete{Group: "g"},
		&DeleteOffsets{Group: "g", Topics: []DeleteTopic{{Topic: 1, Name: "t", Partitions: []int32{0, 5}}, {Topic: 2}}},
		&Forget{Topics: []record.TopicID{1, 1 << 60}},
		&Enlist{Group: "g", Producer: 7, Epoch: 1, Number: 1 << 50},
		&TxnCommit{Producer: 7, Epoch: 1, Commit: Commit{
			Group: "g", Generation: -1, Retention: -1,
			Topics: []CommitTopic{{Topic: 1, Name: "t", Partitions: []CommitPartition{{3, 1 << 50, 9, "text"}}}},
		}},
		&Resolve{Group: "g", Producer: 7, Epoch: 2, Number: 1 << 50, Commit: true},
		&Configure{Settings{InitialDelay: 3000, MaxSize: 5, Retention: 86_400_000}},
	}
}

func TestCommandsRoundTrip(t *testing.T) {
	for _, c := range samples() {
		b := c.AppendTo([]byte("before"))
		got, err := Decode(b[len("before"):])
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%+v became %+v, %v", c, got, err)
		}
		for n := range len(b) - len("before") {
			if _, err := Decode(b[len("before"):][:n]); !errors.Is(err, codec.ErrMalformed) {
				t.Errorf("%T cut to %d bytes: %v", c, n, err)
			}
		}
		if _, err := Decode(append(b[len("before"):], 0)); !errors.Is(err, codec.ErrMalformed) {
			t.Errorf("%T with a byte too many: %v", c, err)
		}
	}
}

// TestDecodeSharesNothing: what is decoded outlives the entry's bytes.
func TestDecodeSharesNothing(t *testing.T) {
	for _, c := range samples() {
		b := c.AppendTo(nil)
		got, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			b[i] = 0xff
		}
		if !reflect.DeepEqual(got, c) {
			t.Errorf("%T changed with the bytes that it was read from", c)
		}
	}
}

// FuzzDecode: what can be decoded can be encoded, and carried out if the
// proposer would have let it pass.
func FuzzDecode(f *testing.F) {
	for _, c := range samples() {
		f.Add(c.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Decode(b)
		if err != nil {
			if !errors.Is(err, codec.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		again, err := Decode(c.AppendTo(nil))
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Fatalf("%+v became %+v, %v", c, again, err)
		}
		if Check(c) != nil {
			return // it never gets into the log
		}
		s, disk := New(), map[string][]byte{}
		var fx Effects
		for _, known := range samples()[:5] {
			s.Apply(1_000_000, known, &fx)
		}
		s.Apply(1_000_000, c, &fx)
		s.Tick(1_000_000, false, &fx)
		save(s, disk)
		if got, want := dump(load(t, disk)), dump(s); got != want {
			t.Fatalf("loaded\n%s\nwant\n%s", got, want)
		}
	})
}

// FuzzPages loads checkpoints that nobody wrote, and goes on from those that
// are accepted.
func FuzzPages(f *testing.F) {
	for _, script := range [][]string{
		{"join g a new", "join g b new instance=B", "join g a", "sync g a 2 give=b:x", "commit g member=a generation=2 t1/0=5:x"},
		{"commit g t1/0=5", "enlist g 7 1", "pend g 7 t1/0=6", "enlist g 8 1", "resolve g 8 1 commit"},
		{"join g a new require", "commit h t1/0=5", "configure delay=3s"},
	} {
		h := newHarness(&testing.T{})
		for _, line := range script {
			h.run(line)
		}
		f.Add(joinPages(h.disk))
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		s := New()
		r := codec.NewReader(b)
		seen := map[string]bool{}
		for r.Len() > 0 {
			k, v := r.Bytes(1<<16), r.Bytes(1<<16)
			if r.Err() != nil || seen[string(k)] {
				return
			}
			seen[string(k)] = true
			if err := s.RestorePage(bytes.Clone(k), v); err != nil {
				return
			}
		}
		if s.Restored() != nil {
			return
		}
		var fx Effects
		s.Tick(1_000_000, false, &fx)
		for _, c := range samples() {
			s.Apply(1_000_000, c, &fx)
		}
	})
}

func joinPages(disk map[string][]byte) []byte {
	var b []byte
	for k, v := range disk {
		b = codec.AppendBytes(codec.AppendBytes(b, k), v)
	}
	return b
}

// FuzzSubscription: the clients' bytes name no more topics than they can hold.
func FuzzSubscription(f *testing.F) {
	f.Add([]byte{0, 3, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := subscription{topics: map[string]struct{}{}}
		if s.add(b) && 2*len(s.topics) > len(b) {
			t.Errorf("%d topics in %d bytes", len(s.topics), len(b))
		}
	})
}
