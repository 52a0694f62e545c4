package group

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

func commitOf(group string, topic record.TopicID, from, to int, metadata string) *Commit {
	c := &Commit{Group: group, Generation: -1, Retention: -1, Topics: []CommitTopic{{Topic: topic, Name: "t"}}}
	for p := from; p < to; p++ {
		c.Topics[0].Partitions = append(c.Topics[0].Partitions, CommitPartition{
			Partition: int32(p), Offset: record.Offset(p), Epoch: -1, Metadata: metadata,
		})
	}
	return c
}

// cut returns the pages that a checkpoint writes, and puts them on disk.
func cut(s *State, disk map[string][]byte) map[string][]byte {
	written := map[string][]byte{}
	s.Freeze()
	s.EncodePages(func(k, v []byte) { written[string(k)] = v }, func() bool { return true })
	for k, v := range written {
		if v == nil {
			delete(disk, k)
			continue
		}
		disk[k] = v
	}
	return written
}

// TestCheckpointCostsWhatChanged: one commit among 100,000 writes one page.
func TestCheckpointCostsWhatChanged(t *testing.T) {
	const n = 100_000
	s, disk := New(), map[string][]byte{}
	var fx Effects
	s.Apply(1, commitOf("g", 1, 0, n, ""), &fx)
	if first := cut(s, disk); len(first) < n/pageEntries || len(first) > n/pageEntries+2 {
		t.Errorf("%d pages for %d offsets", len(first), n)
	}
	s.Apply(2, commitOf("g", 1, 500, 501, "new"), &fx)
	if second := cut(s, disk); len(second) != 1 {
		t.Errorf("one commit wrote %d pages", len(second))
	}
	if third := cut(s, disk); len(third) != 0 {
		t.Errorf("nothing changed and %d pages were written", len(third))
	}
	if got, want := dump(load(t, disk)), dump(s); got != want {
		t.Error("the loaded state differs")
	}
}

// TestPagesStayBounded: texts that grow and offsets that come and go leave no
// page above its bounds, and free room is found again.
func TestPagesStayBounded(t *testing.T) {
	s, disk := New(), map[string][]byte{}
	var fx Effects
	largest := func() (bytes int) {
		cut(s, disk)
		for _, v := range disk {
			bytes = max(bytes, len(v))
		}
		return bytes
	}
	s.Apply(1, commitOf("g", 1, 0, 4000, ""), &fx)
	s.Apply(2, commitOf("g", 1, 0, 4000, strings.Repeat("x", MaxOffsetMetadata)), &fx)
	if got := largest(); got > pageBytes+2*MaxOffsetMetadata {
		t.Errorf("a page of %d bytes", got)
	}
	grown := len(disk)
	s.Apply(3, commitOf("g", 1, 0, 4000, ""), &fx)
	s.Apply(4, commitOf("g", 2, 0, 4000, ""), &fx)
	largest()
	if len(disk) > grown {
		t.Errorf("%d pages, %d before there was room", len(disk), grown)
	}
	for _, p := range s.groups["g"].pages {
		if len(p.entries) > pageEntries {
			t.Errorf("%d offsets in a page", len(p.entries))
		}
	}
	s.Apply(5, &Forget{Topics: []record.TopicID{1, 2}}, &fx)
	largest()
	if len(disk) != 1 {
		t.Errorf("%d pages for a group without offsets", len(disk))
	}
	s.Apply(6, commitOf("g", 3, 0, 4000, strings.Repeat("x", MaxOffsetMetadata)), &fx)
	largest()
	if len(disk) > grown {
		t.Errorf("%d pages, %d before all were emptied", len(disk), grown)
	}
	if got, want := dump(load(t, disk)), dump(s); got != want {
		t.Error("the loaded state differs")
	}
}

// TestRoomIsFoundAlike: a state loaded from a checkpoint puts the next offsets
// where the state that never stopped puts them.
func TestRoomIsFoundAlike(t *testing.T) {
	s, disk := New(), map[string][]byte{}
	var fx Effects
	s.Apply(1, commitOf("g", 1, 0, 3000, ""), &fx)
	s.Apply(2, commitOf("g", 2, 0, 3000, ""), &fx)
	s.Apply(3, &Forget{Topics: []record.TopicID{1}}, &fx) // whole pages are empty now
	save(s, disk)
	l := load(t, disk)
	for i, c := range []Command{commitOf("g", 3, 0, 5000, "y"), commitOf("g", 4, 0, 10, ""), &Forget{Topics: []record.TopicID{3}}} {
		s.Apply(4, c, &fx)
		l.Apply(4, c, &fx)
		if dump(l) != dump(s) {
			t.Fatalf("after command %d the states differ", i)
		}
	}
}

// TestEncodePagesInSlices: a cut may be written a page at a time while the state
// goes on.
func TestEncodePagesInSlices(t *testing.T) {
	s, disk := New(), map[string][]byte{}
	var fx Effects
	for i := range 20 {
		s.Apply(1, commitOf(fmt.Sprintf("g%d", i), 1, 0, 10, ""), &fx)
	}
	want := dump(s)
	s.Freeze()
	for done, i := false, 0; !done; i++ {
		s.Apply(2, commitOf(fmt.Sprintf("g%d", 19-i%20), 1, 0, 20, "later"), &fx)
		s.Apply(2, &Delete{Group: fmt.Sprintf("g%d", i%20)}, &fx)
		once := true
		done = s.EncodePages(func(k, v []byte) { disk[string(k)] = v }, func() bool { once = !once; return !once })
	}
	maps.DeleteFunc(disk, func(_ string, v []byte) bool { return v == nil })
	if got := dump(load(t, disk)); got != want {
		t.Errorf("the cut holds\n%s\nwant\n%s", got, want)
	}
}

// TestDamagedPages: a checkpoint that contradicts itself is refused.
func TestDamagedPages(t *testing.T) {
	h := newHarness(t)
	for _, line := range []string{
		"join g a new", "join g b new instance=B", "join g a", "sync g a 2", "commit g member=a generation=2 t1/0=5",
	} {
		h.run(line)
	}
	key := func(k pageKey) string { return string(k.append(nil)) }
	group, a, b := key(pageKey{kind: pageGroup, group: "g"}), key(pageKey{kind: pageMember, group: "g", member: "a"}),
		key(pageKey{kind: pageMember, group: "g", member: "b"})
	for name, damage := range map[string]func(map[string][]byte){
		"group missing":   func(d map[string][]byte) { delete(d, group) },
		"leader missing":  func(d map[string][]byte) { delete(d, a) },
		"members missing": func(d map[string][]byte) { delete(d, a); delete(d, b) },
		"member twice":    func(d map[string][]byte) { d[key(pageKey{kind: pageMember, group: "g", member: "c"})] = d[b] },
		"offset twice": func(d map[string][]byte) {
			d[key(pageKey{kind: pageOffsets, group: "g", number: 1})] = d[key(pageKey{kind: pageOffsets, group: "g"})]
		},
		"offsets far off": func(d map[string][]byte) {
			d[key(pageKey{kind: pageOffsets, group: "g", number: 1 << 60})] = []byte{pageVersion}
		},
		"newer version": func(d map[string][]byte) { d[group][0]++ },
		"strange phase": func(d map[string][]byte) { d[group][1] = byte(Dead) },
		"cut short":     func(d map[string][]byte) { d[group] = d[group][:5] },
		"left over":     func(d map[string][]byte) { d[group] = append(d[group], 0) },
		"strange key":   func(d map[string][]byte) { d["?"] = nil },
		"empty with members": func(d map[string][]byte) {
			d[group][1] = byte(Empty)
		},
		"other protocol": func(d map[string][]byte) {
			d[group] = []byte(strings.Replace(string(d[group]), "range", "ronge", 1))
		},
	} {
		disk := map[string][]byte{}
		for k, v := range h.disk {
			disk[k] = slices.Clone(v)
		}
		damage(disk)
		s := New()
		var err error
		for _, k := range slices.Sorted(maps.Keys(disk)) {
			if err == nil {
				err = s.RestorePage([]byte(k), disk[k])
			}
		}
		if err == nil {
			err = s.Restored()
		}
		if !errors.Is(err, codec.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	long := strings.Repeat("x", MaxName+1)
	join := func(change func(*Join)) *Join {
		c := &Join{Group: "g", SessionTimeout: 10_000}
		change(c)
		return c
	}
	for name, c := range map[string]struct {
		c    Command
		want error
	}{
		"fine":                    {join(func(*Join) {}), nil},
		"no group":                {join(func(c *Join) { c.Group = "" }), ErrInvalidGroup},
		"short session":           {join(func(c *Join) { c.SessionTimeout = 5_999 }), ErrInvalidSession},
		"long session":            {join(func(c *Join) { c.SessionTimeout = 1_800_001 }), ErrInvalidSession},
		"long client id":          {join(func(c *Join) { c.ClientID = long }), ErrTooLarge},
		"much metadata":           {join(func(c *Join) { c.Protocols = []Protocol{{"p", make([]byte, MaxMetadata)}} }), ErrTooLarge},
		"nameless protocol":       {join(func(c *Join) { c.Protocols = []Protocol{{}} }), ErrInconsistentProtocol},
		"many protocols":          {join(func(c *Join) { c.Protocols = slices.Repeat([]Protocol{{"p", nil}}, MaxProtocols+1) }), ErrTooLarge},
		"many leave":              {&Leave{Group: "g", Members: make([]Leaver, MaxLeavers+1)}, ErrTooLarge},
		"sync without group":      {&Sync{}, ErrInvalidGroup},
		"sync with a long member": {&Sync{Group: "g", Member: long}, ErrTooLarge},
		"large assignment":        {&Sync{Group: "g", Assignments: []Assignment{{"m", make([]byte, MaxAssignment+1)}}}, ErrTooLarge},
		"large assignments":       {&Sync{Group: "g", Assignments: slices.Repeat([]Assignment{{"m", make([]byte, MaxAssignment)}}, 8)}, ErrTooLarge},
		"leave without group":     {&Leave{}, ErrInvalidGroup},
		"leave with a long id":    {&Leave{Group: "g", Members: []Leaver{{Instance: long}}}, ErrTooLarge},
		"commit without group":    {&Commit{}, nil},
		"commit of a long group":  {&Commit{Group: long}, ErrTooLarge},
		"commit of a long text":   {commitOf("g", 1, 0, 1, strings.Repeat("x", MaxOffsetMetadata+1)), ErrTooLarge},
		"offsets without group":   {&DeleteOffsets{}, ErrInvalidGroup},
		"the rest":                {&Delete{}, nil},
	} {
		if err := Check(c.c); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestSubscription(t *testing.T) {
	topics := func(count int32, rest string) []byte {
		return append([]byte{0, 1, byte(count >> 24), byte(count >> 16), byte(count >> 8), byte(count)}, rest...)
	}
	for name, c := range map[string]struct {
		b    []byte
		ok   bool
		want int
	}{
		"none":         {topics(0, ""), true, 0},
		"two":          {topics(2, "\x00\x01a\x00\x02bc\xff\xff\xff\xff"), true, 2},
		"null":         {topics(-1, ""), false, 0},
		"too short":    {[]byte{0, 1, 0}, false, 0},
		"no length":    {topics(2, "\x00\x01a\x00"), false, 0},
		"cut name":     {topics(1, "\x00\x05a"), false, 0},
		"negative":     {topics(1, "\xff\xff"), false, 0},
		"a lying size": {topics(1<<30, "\x00\x01a"), false, 0},
	} {
		s := subscription{topics: map[string]struct{}{}}
		if ok := s.add(c.b); ok != c.ok || ok && len(s.topics) != c.want {
			t.Errorf("%s: %v, %d topics", name, ok, len(s.topics))
		}
	}
}
