package wire

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

// raw is a table with one field of every tag.
var raw = func() Table {
	var t Table
	for _, f := range []struct {
		name string
		tag  byte
		hex  string
	}{
		{"bool", TagBool, "01"},
		{"int8", TagInt8, "ff"},
		{"uint8", TagUint8, "ff"},
		{"int16", TagInt16, "fffe"},
		{"uint16", TagUint16, "fffe"},
		{"int32", TagInt32, "fffffffd"},
		{"uint32", TagUint32, "fffffffd"},
		{"int64", TagInt64, "fffffffffffffffc"},
		{"old int64", TagInt64Old, "0000000000000005"},
		{"float", TagFloat, "3fc00000"},
		{"double", TagDouble, "3ff8000000000000"},
		{"decimal", TagDecimal, "0200000101"},
		{"string", TagString, "616263"},
		{"bytes", TagBytes, "00ff"},
		{"timestamp", TagTimestamp, "0000000065000000"},
		{"void", TagVoid, ""},
	} {
		b, err := hex.DecodeString(f.hex)
		if err != nil {
			panic(err)
		}
		t = t.AppendValue(f.name, Value{f.tag, b})
	}
	t = t.AppendTable("table", slices.Clone(t))
	return t.AppendArray("array", Array(nil).Append(Value{TagString, []byte("x")}).Append(Value{TagTable, slices.Clone(t)}))
}()

func TestTableReadsEveryTag(t *testing.T) {
	if !raw.Valid() {
		t.Fatal("not valid")
	}
	ints := map[string]int64{
		"int8": -1, "uint8": 255, "int16": -2, "uint16": 65534, "int32": -3, "uint32": 4294967293, "int64": -4, "old int64": 5,
	}
	n := 0
	for name, v := range raw.All() {
		n++
		i, ok := v.Int()
		if want, is := ints[string(name)]; ok != is || i != want {
			t.Errorf("%s: Int is %d, %v", name, i, ok)
		}
		s, ok := v.Str()
		if ok != (string(name) == "string") || ok && string(s) != "abc" {
			t.Errorf("%s: Str is %q, %v", name, s, ok)
		}
		b, ok := v.Bool()
		if ok != (string(name) == "bool") || ok && !b {
			t.Errorf("%s: Bool is %v, %v", name, b, ok)
		}
		f, ok := v.Float()
		if ok != (string(name) == "float" || string(name) == "double") || ok && f != 1.5 {
			t.Errorf("%s: Float is %v, %v", name, f, ok)
		}
		sec, ok := v.Timestamp()
		if ok != (string(name) == "timestamp") || ok && sec != 0x65000000 {
			t.Errorf("%s: Timestamp is %v, %v", name, sec, ok)
		}
		elements := slices.Collect(v.Elements())
		if (len(elements) == 2) != (string(name) == "array") {
			t.Errorf("%s: %d elements", name, len(elements))
		}
	}
	if n != 18 {
		t.Errorf("%d fields", n)
	}
	if _, ok := raw.Get("void"); !ok {
		t.Error("no field void")
	}
	if _, ok := raw.Get("Void"); ok {
		t.Error("a field Void")
	}
}

func TestTableFaults(t *testing.T) {
	for i := range raw {
		if cut := raw[:i]; cut.Valid() {
			// What remains must be whole fields.
			if n := len(slices.Collect(keys(cut))); n == 0 && i > 0 || !bytes.Equal(cut.Without(nil, "-"), cut) {
				t.Errorf("%d of %d bytes are valid, with %d fields", i, len(raw), n)
			}
		}
	}
	for _, c := range []struct{ name, hex string }{
		{"an unknown tag", "0161" + "55" + "0001"},
		{"a string longer than the table", "0161" + "53" + "7fffffff" + "00"},
		{"a broken table inside", "0161" + "46" + "00000001" + "05"},
		{"a broken array inside", "0161" + "41" + "00000001" + "53"},
		{"no tag", "0161"},
	} {
		b, _ := hex.DecodeString(c.hex)
		if Table(b).Valid() {
			t.Errorf("%s is valid", c.name)
		}
	}
	nested := Table(nil)
	for range maxDepth + 1 {
		nested = Table(nil).AppendTable("t", nested)
	}
	if nested.Valid() {
		t.Error("tables without end are valid")
	}
	var deep Array
	for range maxDepth + 1 {
		deep = Array(nil).Append(Value{TagArray, deep})
	}
	if Table(nil).AppendArray("a", deep).Valid() {
		t.Error("arrays without end are valid")
	}
}

func keys(t Table) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range t.All() {
			if !yield(string(k)) {
				return
			}
		}
	}
}

func TestNormalizeRewritesOldTags(t *testing.T) {
	got := slices.Clone(raw)
	got.Normalize()
	if !got.Valid() || len(got) != len(raw) {
		t.Fatal("not valid, or of another length")
	}
	var count func(t Table) int
	count = func(t Table) (n int) {
		for _, v := range t.All() {
			switch v.Tag {
			case TagInt64Old:
				n++
			case TagTable:
				n += count(v.Raw)
			case TagArray:
				for e := range v.Elements() {
					if e.Tag == TagTable {
						n += count(e.Raw)
					}
				}
			}
		}
		return n
	}
	if before, after := count(raw), count(got); before != 4 || after != 0 {
		t.Errorf("%d old tags became %d", before, after)
	}
}

func TestWithout(t *testing.T) {
	tab := Table(nil).AppendString("CC", "a").AppendString("BCC", "b").AppendBool("c", true).AppendString("BCC", "d")
	got := tab.Without(nil, "BCC")
	if want := Table(nil).AppendString("CC", "a").AppendBool("c", true); !bytes.Equal(got, want) {
		t.Errorf("got % x", got)
	}
	if long := Table(nil).AppendTimestamp(strings.Repeat("n", 300), 1); !long.Valid() {
		t.Error("a long name makes an invalid table")
	}
}
