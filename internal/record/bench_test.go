package record

import (
	"bytes"
	"strconv"
	"testing"
)

func benchBatch(b *testing.B, c Codec, records, size int) []byte {
	b.Helper()
	var bld Builder
	bld.Reset(Template(c))
	for i := range records {
		v := bytes.Repeat([]byte(strconv.Itoa(i)), size)[:size]
		bld.Add(Record{Timestamp: int64(i), Key: []byte(strconv.Itoa(i)), Value: v})
	}
	out, err := bld.AppendTo(nil)
	if err != nil {
		b.Fatal(err)
	}
	return out
}

func BenchmarkValidate(b *testing.B) {
	for _, n := range []int{1, 600} {
		batch := benchBatch(b, None, n, 100)
		b.Run(strconv.Itoa(len(batch))+"B", func(b *testing.B) {
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Validate(batch, Checks{MaxSize: 1 << 20, Produced: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRecords(b *testing.B) {
	for c := None; c <= Zstd; c++ {
		batch := benchBatch(b, c, 600, 100)
		b.Run(c.String(), func(b *testing.B) {
			b.SetBytes(600 * 100)
			b.ReportAllocs()
			for b.Loop() {
				if err := Records(batch, func(Record) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBuilder(b *testing.B) {
	value := bytes.Repeat([]byte("x"), 100)
	var bld Builder
	var out []byte
	b.SetBytes(100)
	b.ReportAllocs()
	bld.Reset(Template(None))
	for b.Loop() {
		bld.Add(Record{Timestamp: 1, Value: value})
		if bld.Count() == 600 {
			var err error
			if out, err = bld.AppendTo(out[:0]); err != nil {
				b.Fatal(err)
			}
			bld.Reset(Template(None))
		}
	}
}
