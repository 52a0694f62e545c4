package broker

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

func FuzzDecodeMark(f *testing.F) {
	batch, err := controlBatch(&mark{commit: true}, 3, 500)
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range []mark{
		{producer: 5, number: 1, partitions: []record.PartitionID{1}},
		{ends: true, commit: true, producer: 1 << 40, epoch: 9, number: 1 << 63, partitions: []record.PartitionID{1, 1 << 60}, batch: batch},
	} {
		f.Add(m.appendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMark(b)
		if err != nil {
			return
		}
		again, err := decodeMark(m.appendTo(nil))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
	})
}

// TestAMarkerIsThereOnce: one body for two partitions, none for a third that was
// not written to, and nothing more when the mark comes again.
func TestAMarkerIsThereOnce(t *testing.T) {
	x := newBench(t)
	ids := []record.PartitionID{1, 2, 3, 99}
	enlist := mark{producer: 5, epoch: 1, number: 1, partitions: ids}
	x.command(kindMark, enlist.appendTo(nil), func(each any, err error) {
		if e := each.([]error); err != nil || e[0] != nil || e[2] != nil || !errors.Is(e[3], ErrUnknownPartition) {
			t.Errorf("enlisting: %v, %v", each, err)
		}
	})
	b := batchOf(t, 1, 5, 0)
	b[22] |= 1 << 4 // transactional
	b[52] = 1       // producer epoch
	for _, id := range ids[:2] {
		x.all(x.propose(id, b))
	}
	x.store.runs = nil
	end := mark{ends: true, commit: true, producer: 5, epoch: 2, number: 1, partitions: ids}
	var err error
	if end.batch, err = controlBatch(&end, 3, int64(x.now)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		x.command(kindMark, end.appendTo(nil), nil)
	}
	if len(x.store.runs) != 2 {
		t.Fatalf("%d runs: %+v", len(x.store.runs), x.store.runs)
	}
	for i, r := range x.store.runs {
		if r.Flags != store.Control|store.Transactional || r.Partition != ids[i] || r.Base != 1 || int(r.Len) != len(end.batch) {
			t.Errorf("run %d: %+v", i, r)
		}
		x.checkBytes(r, end.batch)
	}
	late := mark{ends: true, producer: 5, epoch: 1, number: 1, partitions: ids[:1], batch: end.batch}
	x.command(kindMark, late.appendTo(nil), func(each any, _ error) {
		if e := each.([]error); !errors.Is(e[0], ErrProducerEpoch) {
			t.Errorf("a mark of an old epoch: %v", e)
		}
	})
}

func FuzzDecodeMove(f *testing.F) {
	for _, m := range []move{
		{source: 1, letters: []letter{{number: 5, targets: []target{{7, 1}}, bytes: 3, body: 2, batch: []byte("batch")}}},
		{source: 1 << 60, buries: true, letters: []letter{{number: 1 << 63}, {number: 2, targets: []target{{1, 0}, {2, 255}}}}},
	} {
		f.Add(m.appendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMove(b)
		if err != nil {
			return
		}
		text := m.appendTo(nil)
		again, err := decodeMove(text)
		if err != nil || !bytes.Equal(again.appendTo(nil), text) {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
	})
}
