package topic

import (
	"slices"
	"sort"

	"github.com/polylog-mq/polylog/internal/record"
)

// EpochStart says where the first record of a leader epoch lies.
type EpochStart struct {
	Epoch record.Epoch
	Start record.Offset
}

// Epochs are the leader epochs that wrote a partition's records, as far back as
// they are remembered, ascending in both fields. A value never changes and may
// be read from any goroutine.
type Epochs []EpochStart

// End returns the largest epoch not above e that wrote records, with the offset
// after its last one (KIP-101, Kafka's OffsetForLeaderEpoch). The partition's
// present epoch is current, and high is its high watermark: that is the end of
// current. It returns (-1, -1) if e is negative or above current, and for an e
// older than what is remembered e itself with the first offset of a later
// epoch.
func (l Epochs) End(current record.Epoch, high record.Offset, e record.Epoch) (record.Epoch, record.Offset) {
	if e < 0 || e > current {
		return -1, -1
	}
	if e == current {
		return current, high
	}
	above := sort.Search(len(l), func(i int) bool { return l[i].Epoch > e })
	end := high
	if above < len(l) {
		end = l[above].Start
	}
	if above == 0 {
		return e, end
	}
	return l[above-1].Epoch, end
}

// At returns the epoch that offset o was written in, -1 if that is not
// remembered. It does not know the high watermark.
func (l Epochs) At(o record.Offset) record.Epoch {
	above := sort.Search(len(l), func(i int) bool { return l[i].Start > o })
	if above == 0 {
		return -1
	}
	return l[above-1].Epoch
}

// begin returns the ladder after epoch e wrote from offset o on; most often
// that is l itself. Only the last maxEpochs are remembered: committed records
// are never truncated here, so a client that asks for an older one has nothing
// to fear from an end that is too late.
func (l Epochs) begin(e record.Epoch, o record.Offset) Epochs {
	n := len(l)
	if n > 0 && l[n-1].Epoch >= e {
		return l
	}
	kept := l
	if n == maxEpochs {
		kept = l[maxEpochs/2:]
	}
	return append(slices.Clip(kept), EpochStart{e, o})
}

// from returns the ladder of a log that begins at start.
func (l Epochs) from(start record.Offset) Epochs {
	n := 0
	for n+1 < len(l) && l[n+1].Start <= start {
		n++
	}
	l = l[n:]
	if len(l) > 0 && l[0].Start < start {
		l = slices.Clone(l)
		l[0].Start = start
	}
	return l
}
