package record

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestThinLeavesWhatIsKept(t *testing.T) {
	var thin Thinning
	rapid.Check(t, func(t *rapid.T) {
		h := Template(Codec(rapid.IntRange(0, int(Zstd)).Draw(t, "codec")))
		h.BaseOffset = Offset(rapid.Int64Range(0, 1<<60).Draw(t, "base"))
		h.ProducerID, h.ProducerEpoch, h.BaseSequence = 7, 3, rapid.Int32Range(0, 1<<30).Draw(t, "sequence")
		if rapid.Bool().Draw(t, "noted") {
			h.Attributes |= attrDeleteHorizon
		}
		var b Builder
		b.Reset(h)
		keep := map[Offset]bool{}
		var want []string
		newest, tombstone := int64(NoTimestamp), false
		for range rapid.IntRange(1, 20).Draw(t, "records") {
			r := genRecord(t, 0)
			r.Offset = h.BaseOffset + Offset(b.header.LastOffsetDelta) + 1
			b.Add(r)
			if keep[r.Offset] = rapid.Bool().Draw(t, "keep"); keep[r.Offset] {
				want = append(want, shown(r))
				newest, tombstone = max(newest, r.Timestamp), tombstone || r.Value == nil
			}
		}
		batch, err := b.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		before, _ := ParseHeader(batch)
		thin.Keep = func(r *Record) bool { return keep[r.Offset] }
		thin.Horizon = rapid.SampledFrom([]int64{0, 1 << 41}).Draw(t, "horizon")
		thin.Always = rapid.Bool().Draw(t, "always")
		noted := !before.DeleteHorizon() && thin.Horizon != 0 && (tombstone || thin.Always)
		out, left, changed, err := thin.Thin([]byte("x"), batch)
		if err != nil || left != len(want) || changed != (left < int(before.Count) || noted) {
			t.Fatalf("%d of %d left, want %d; changed %v, %v", left, before.Count, len(want), changed, err)
		}
		if left == 0 || !changed {
			if len(out) != 1 {
				t.Fatalf("%d bytes were appended", len(out)-1)
			}
			return
		}
		after, err := Validate(out[1:], Checks{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(collect(t, out[1:]), want) {
			t.Fatalf("left is %q, want %q", collect(t, out[1:]), want)
		}
		if after.BaseOffset != before.BaseOffset || after.LastOffsetDelta != before.LastOffsetDelta || after.Codec() != before.Codec() ||
			after.ProducerID != 7 || after.ProducerEpoch != 3 || after.BaseSequence != before.BaseSequence ||
			after.MaxTimestamp != newest || after.DeleteHorizon() != (before.DeleteHorizon() || noted) || noted && after.BaseTimestamp != 1<<41 {
			t.Fatalf("header %v, was %v; noted %v", after, before, noted)
		}
	})
}

func TestThinKeepsTheLogAppendTime(t *testing.T) {
	var b Builder
	b.Reset(Template(None))
	for i := range 3 {
		b.Add(Record{Timestamp: int64(i), Key: []byte{byte(i)}})
	}
	batch, err := b.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	SetLogAppendTime(batch, 5000)
	thin := Thinning{Keep: func(r *Record) bool { return r.Offset == 1 }, Horizon: 9000}
	out, left, _, err := thin.Thin(nil, batch)
	if err != nil || left != 1 {
		t.Fatalf("%d left, %v", left, err)
	}
	h, _ := ParseHeader(out)
	if h.MaxTimestamp != 5000 || h.BaseTimestamp != 9000 || !bytes.Contains([]byte(collect(t, out)[0]), []byte("1@5000 ")) {
		t.Fatalf("%v %q", h, collect(t, out))
	}
}

func TestThinReportsABrokenBatch(t *testing.T) {
	var b Builder
	b.Add(Record{Key: []byte("k")})
	batch, err := b.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	batch[HeaderSize]++ // the length of the record
	thin := Thinning{Keep: func(*Record) bool { return true }}
	if out, _, _, err := thin.Thin(nil, batch); err == nil || len(out) > 0 {
		t.Fatalf("%d bytes, %v", len(out), err)
	}
}
