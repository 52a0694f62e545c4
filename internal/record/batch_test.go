package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// build makes a batch of the given values, dated from 1000 on.
func build(tb testing.TB, h Header, values ...string) []byte {
	tb.Helper()
	var b Builder
	b.Reset(h)
	for i, v := range values {
		b.Add(Record{Timestamp: 1000 + int64(i), Key: []byte("k"), Value: []byte(v)})
	}
	out, err := b.AppendTo(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// TestBatchWhereItWasBuilt compares what lies in the builder with what is appended
// elsewhere, also when more is added behind it.
func TestBatchWhereItWasBuilt(t *testing.T) {
	for _, codec := range []Codec{None, LZ4} {
		var b Builder
		for _, values := range []int{0, 1, 2} {
			b.Reset(Template(codec))
			for i := range values {
				b.Add(Record{Timestamp: int64(i), Value: bytes.Repeat([]byte("v"), 300)})
				want, err := b.AppendTo(nil)
				if err != nil {
					t.Fatal(err)
				}
				got, err := b.Batch()
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%v, %d records: %d bytes, %v, and not the %d that are appended", codec, i+1, len(got), err, len(want))
				}
				if _, err := Validate(got, Checks{}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	var b Builder
	record := Record{Value: make([]byte, 16_000)}
	if n := testing.AllocsPerRun(100, func() {
		b.Reset(Template(None))
		b.Add(record)
		if _, err := b.Batch(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// resum makes the checksum of a tampered batch right again.
func resum(b []byte) []byte {
	binary.BigEndian.PutUint32(b[posCRC:], checksum(b))
	return b
}

func TestBuilderAgainstAnotherDecoder(t *testing.T) {
	var headers Headers
	headers.Add("h", []byte("1"))
	headers.Add("null", nil)
	var b Builder
	h := Template(None)
	h.ProducerID, h.ProducerEpoch, h.BaseSequence = 7, 3, 41
	b.Reset(h)
	b.Add(Record{Timestamp: 5, Key: nil, Value: []byte("v0"), Headers: headers})
	b.Add(Record{Timestamp: 4, Key: []byte{}, Value: nil})
	raw, err := b.AppendTo([]byte("prefix"))
	if err != nil {
		t.Fatal(err)
	}
	raw = raw[len("prefix"):]

	var k kmsg.RecordBatch
	if err := k.ReadFrom(raw); err != nil {
		t.Fatal(err)
	}
	if k.ProducerID != 7 || k.ProducerEpoch != 3 || k.FirstSequence != 41 || k.NumRecords != 2 ||
		k.LastOffsetDelta != 1 || k.FirstTimestamp != 5 || k.MaxTimestamp != 5 || k.PartitionLeaderEpoch != -1 ||
		k.Magic != 2 || int(k.Length)+12 != len(raw) {
		t.Fatalf("decoded header %+v", k)
	}
	var r0, r1 kmsg.Record
	if err := r0.ReadFrom(k.Records); err != nil {
		t.Fatal(err)
	}
	_, prefix := binary.Varint(k.Records)
	if err := r1.ReadFrom(k.Records[prefix+int(r0.Length):]); err != nil {
		t.Fatal(err)
	}
	if r0.Key != nil || string(r0.Value) != "v0" || len(r0.Headers) != 2 || r0.Headers[1].Key != "null" || r0.Headers[1].Value != nil {
		t.Fatalf("first record %+v", r0)
	}
	if r1.Key == nil || r1.Value != nil || r1.TimestampDelta64 != -1 || r1.OffsetDelta != 1 {
		t.Fatalf("second record %+v", r1)
	}
	if crc := uint32(k.CRC); crc != checksum(raw) {
		t.Fatalf("crc %x, computed %x", crc, checksum(raw))
	}
}

func TestValidateNamesTheKindOfFault(t *testing.T) {
	idempotent := Template(None)
	idempotent.ProducerID, idempotent.ProducerEpoch, idempotent.BaseSequence = 1, 0, 0
	set32 := func(pos int, v int32) func([]byte) []byte {
		return func(b []byte) []byte {
			binary.BigEndian.PutUint32(b[pos:], uint32(v))
			return resum(b)
		}
	}
	setAttr := func(v uint16) func([]byte) []byte {
		return func(b []byte) []byte {
			binary.BigEndian.PutUint16(b[posAttr:], v)
			return resum(b)
		}
	}
	produced := Checks{Produced: true}
	for _, c := range []struct {
		name   string
		checks Checks
		edit   func(b []byte) []byte
		want   error
	}{
		{"intact", produced, func(b []byte) []byte { return b }, nil},
		{"empty", produced, func([]byte) []byte { return nil }, ErrTruncated},
		{"cut in the length", produced, func(b []byte) []byte { return b[:11] }, ErrTruncated},
		{"cut in the header", produced, func(b []byte) []byte { return b[:HeaderSize-1] }, ErrTruncated},
		{"cut in the records", produced, func(b []byte) []byte { return b[:len(b)-1] }, ErrTruncated},
		{"one byte too many", produced, func(b []byte) []byte { return append(b, 0) }, ErrInvalid},
		{"two batches", produced, func(b []byte) []byte { return append(b, b...) }, ErrInvalid},
		{"negative length", produced, set32(posLength, -1), ErrCorrupt},
		{"length below a header", produced, set32(posLength, HeaderSize-lengthEnd-1), ErrCorrupt},
		{"magic 0", produced, func(b []byte) []byte { b[posMagic] = 0; return b }, ErrUnsupportedMagic},
		{"magic 1", produced, func(b []byte) []byte { b[posMagic] = 1; return b }, ErrUnsupportedMagic},
		{"magic 3", produced, func(b []byte) []byte { b[posMagic] = 3; return b }, ErrCorrupt},
		{"flipped bit in the records", produced, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, ErrCorrupt},
		{"flipped bit in the attributes", produced, func(b []byte) []byte { b[posAttr+1] ^= 1; return b }, ErrCorrupt},
		{"too large", Checks{MaxSize: HeaderSize, Produced: true}, func(b []byte) []byte { return b }, ErrTooLarge},
		{"too large and corrupt", Checks{MaxSize: HeaderSize}, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, ErrTooLarge},
		{"base offset", produced, func(b []byte) []byte { b[7] = 1; return b }, ErrInvalid},
		{"base offset of a stored batch", Checks{}, func(b []byte) []byte { b[7] = 1; return b }, nil},
		{"negative last offset delta", produced, set32(posLastDelta, -1), ErrInvalid},
		{"no records", produced, set32(posCount, 0), ErrInvalid},
		{"fewer records than offsets", produced, set32(posCount, 1), ErrInvalid},
		{"fewer records than offsets, compacted", Checks{}, set32(posCount, 1), nil},
		{"more records than offsets", Checks{}, set32(posCount, 3), ErrInvalid},
		{"negative count", Checks{}, set32(posCount, -1), ErrInvalid},
		{"offsets at the end of the range", Checks{}, set32(posLastDelta, math.MaxInt32), nil},
		{"control batch", produced, setAttr(attrControl), ErrInvalid},
		{"control batch, stored", Checks{}, setAttr(attrControl), nil},
		{"transactional", produced, setAttr(attrTransactional), nil},
		{"log append time", produced, setAttr(attrLogAppendTime), ErrTimestamp},
		{"codec 5", produced, setAttr(5), ErrUnsupportedCodec},
		{"negative sequence", produced, set32(posSequence, -1), ErrInvalid},
		{"negative producer id", produced, set32(posProducer, -2), ErrInvalid},
	} {
		b := c.edit(build(t, idempotent, "one", "two"))
		if _, err := Validate(b, c.checks); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	plain := build(t, Template(None), "one")
	binary.BigEndian.PutUint16(plain[posAttr:], attrTransactional)
	if _, err := Validate(resum(plain), produced); !errors.Is(err, ErrInvalid) {
		t.Errorf("transactional without a producer: %v", err)
	}
}

func TestPatchesKeepTheChecksumRight(t *testing.T) {
	b := build(t, Template(Zstd), "one", "two")
	SetBaseOffset(b, 1<<40)
	SetEpoch(b, 9)
	h, err := Validate(b, Checks{})
	if err != nil {
		t.Fatal(err)
	}
	if h.BaseOffset != 1<<40 || h.LastOffset() != 1<<40+1 || h.Epoch != 9 || h.MaxTimestamp != 1001 {
		t.Fatalf("patched header %v", h)
	}
	SetLogAppendTime(b, 555)
	if h, err = Validate(b, Checks{}); err != nil {
		t.Fatal(err)
	}
	if !h.LogAppendTime() || h.MaxTimestamp != 555 {
		t.Fatalf("header with log append time %v", h)
	}
	n := 0
	if err := Records(b, func(r Record) error {
		if r.Timestamp != 555 || r.Offset != 1<<40+Offset(n) {
			t.Errorf("record %+v", r)
		}
		n++
		return nil
	}); err != nil || n != 2 {
		t.Fatalf("%d records, %v", n, err)
	}
}

func TestWalk(t *testing.T) {
	one, two := build(t, Template(None), "a"), build(t, Template(LZ4), "b", "c")
	all := append(bytes.Clone(one), two...)
	var sizes []int
	collect := func(b []byte, h Header) error {
		if h.Size() != len(b) {
			t.Errorf("size %d for %d bytes", h.Size(), len(b))
		}
		sizes = append(sizes, len(b))
		return nil
	}
	if err := Walk(all, collect); err != nil || len(sizes) != 2 || sizes[0] != len(one) || sizes[1] != len(two) {
		t.Fatalf("sizes %v, %v", sizes, err)
	}
	if err := Walk(all[:len(all)-1], collect); !errors.Is(err, ErrTruncated) || len(sizes) != 3 {
		t.Fatalf("cut: %d batches, %v", len(sizes), err)
	}
	calls := 0
	if err := Walk(all, func([]byte, Header) error { calls++; return SkipRest }); err != nil || calls != 1 {
		t.Fatalf("skip: %d calls, %v", calls, err)
	}
	boom := errors.New("boom")
	if err := Walk(all, func([]byte, Header) error { return boom }); !errors.Is(err, boom) {
		t.Fatalf("error of the function: %v", err)
	}
	if err := Walk(nil, collect); err != nil {
		t.Fatal(err)
	}
}

func TestSequencesGoRound(t *testing.T) {
	for _, c := range []struct{ seq, n, want int32 }{
		{0, 0, 0},
		{5, 3, 8},
		{math.MaxInt32, 0, math.MaxInt32},
		{math.MaxInt32, 1, 0},
		{math.MaxInt32 - 1, 3, 1},
		{math.MaxInt32, math.MaxInt32, math.MaxInt32 - 1},
	} {
		if got := AddSequence(c.seq, c.n); got != c.want {
			t.Errorf("AddSequence(%d, %d) = %d, want %d", c.seq, c.n, got, c.want)
		}
	}
}

func TestHeaderPathAllocatesNothing(t *testing.T) {
	b := build(t, Template(None), "one", "two")
	all := append(bytes.Clone(b), b...)
	for name, f := range map[string]func(){
		"Validate": func() {
			if _, err := Validate(b, Checks{MaxSize: 1 << 20, Produced: true}); err != nil {
				t.Error(err)
			}
		},
		"Walk": func() {
			if err := Walk(all, func([]byte, Header) error { return nil }); err != nil {
				t.Error(err)
			}
		},
		"patch": func() { SetBaseOffset(b, 0); SetEpoch(b, 2) },
		"Records": func() {
			if err := Records(b, func(Record) error { return nil }); err != nil {
				t.Error(err)
			}
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
