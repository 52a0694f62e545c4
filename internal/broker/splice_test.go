package broker

import (
	"bytes"
	"hash/crc32"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/topic"
	"github.com/polylog-mq/polylog/internal/store"
)

// TestSpliceIsEncode: an entry that the log puts together is the one that Encode
// makes, and the checksums of its parts are theirs.
func TestSpliceIsEncode(t *testing.T) {
	x := newBench(t)
	var batch []replica.Proposal
	for i := range 12 {
		a := x.propose(record.PartitionID(1+i%3), batchOf(t, 1+i, -1, 0))
		a.proposal.spliced = i%4 != 1
		batch = append(batch, &a.proposal)
		if i%3 == 2 {
			a.proposal.partition.settings.Store(&topic.Settings{LogAppendTime: true})
		}
	}
	want := x.s.Encode(nil, x.now, batch)
	dst, splices := x.s.Splice(nil, nil, x.now, batch)
	e := store.Entry{Data: dst, Splices: splices}
	if got := e.Whole(); !bytes.Equal(got, want) {
		t.Errorf("spliced, an entry has %d bytes, encoded %d, and they differ", len(got), len(want))
	}
	if len(splices) != 6 {
		t.Errorf("%d batches were left where they lie, want the 6 that are spliced and whose topic keeps their times", len(splices))
	}
	for i, s := range splices {
		if sum := crc32.Checksum(s.Bytes, crc32.MakeTable(crc32.Castagnoli)); sum != s.Sum {
			t.Errorf("part %d has the checksum %08x, and is said to have %08x", i, sum, s.Sum)
		}
	}
}
