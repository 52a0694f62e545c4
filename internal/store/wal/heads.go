package wal

import (
	"cmp"
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
)

// heads are the last hard state of each group, as far as written, sorted by
// group: what the next file begins with.
type heads []head

type head struct {
	frame Frame // without its body
	body  [MaxHardState]byte
	n     int
}

func (hs heads) find(g record.ShardID) (int, bool) {
	return slices.BinarySearchFunc(hs, g, func(h head, g record.ShardID) int { return cmp.Compare(h.frame.Group, g) })
}

// set remembers a hard state; one without a body forgets its group.
func (hs *heads) set(f *Frame) {
	i, ok := hs.find(f.Group)
	if len(f.Body) == 0 {
		if ok {
			*hs = slices.Delete(*hs, i, i+1)
		}
		return
	}
	if !ok {
		*hs = slices.Insert(*hs, i, head{})
	}
	h := &(*hs)[i]
	h.frame, h.n = *f, copy(h.body[:], f.Body)
	h.frame.Body = nil
}

// get returns the i-th hard state, whose body lies in hs.
func (hs heads) get(i int) Frame {
	f := hs[i].frame
	f.Body = hs[i].body[:hs[i].n]
	return f
}

// headSize bounds what the head of a file takes when it repeats the hard
// states of so many groups.
func headSize(groups int) int64 { return headerSize + int64(groups)*FrameSize(MaxHardState) }

// maxGroups is how many groups the head of a file has room for beside the
// largest frame and what ends a file.
func maxGroups(fileSize int64) int {
	room := fileSize - FrameSize(MaxBody(fileSize)) - headerSize - endRoom
	return min(MaxGroups, int(room/FrameSize(MaxHardState)))
}
