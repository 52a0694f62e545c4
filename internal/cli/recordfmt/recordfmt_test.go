package recordfmt

import (
	"errors"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/polylog-mq/polylog/internal/record"
)

func sample() *Record {
	r := &Record{
		Topic: "orders", Partition: 3, Epoch: 7,
		Record: record.Record{Offset: 42, Timestamp: 1767225600123, Key: []byte("k\xff"), Value: []byte("value")},
	}
	r.Headers.Add("a", []byte("1"))
	r.Headers.Add("b", nil)
	return r
}

func TestOutput(t *testing.T) {
	for _, c := range []struct{ format, want string }{
		{`%v\n`, "value\n"},
		{`%t/%p@%o e%e`, "orders/3@42 e7"},
		{`%k{hex} %k{base64} %s`, "6bff a/8= value"},
		{`%K %V %S`, "2 5 5"},
		{`%d %T`, "1767225600123 1767225600123"},
		{`%d{rfc3339}`, "2026-01-01T00:00:00.123Z"},
		{`%d{go[Jan _2 15:04]}`, "Jan  1 00:00"},
		{`%h{%k=%v;}`, "a=1;b=;"},
		{`%h{%k{hex}:%v{base64} }`, "61:MQ== 62: "},
		{`100%% \x41\\\t\0\r`, "100% A\\\t\x00\r"},
		{``, ""},
	} {
		f, err := Parse(c.format)
		if err != nil {
			t.Errorf("%q: %v", c.format, err)
			continue
		}
		if got := string(f.Append(nil, sample())); got != c.want {
			t.Errorf("%q gives %q, want %q", c.format, got, c.want)
		}
	}
}

func TestNullIsTold(t *testing.T) {
	f, err := Parse(`%K %V [%k]`)
	if err != nil {
		t.Fatal(err)
	}
	r := &Record{Record: record.Record{Value: []byte{}}}
	if got := string(f.Append(nil, r)); got != "-1 0 []" {
		t.Errorf("got %q", got)
	}
}

func TestBadFormats(t *testing.T) {
	for format, want := range map[string]string{
		`%q`: "%q is not known", `100%`: "at the end", `\`: "backslash at the end", `\q`: "no escape", `\xg1`: "hexadecimal",
		`%k{gzip}`: "does not take {gzip}", `%k{hex`: "closing brace", `%h`: "%h needs a format", `%o{hex}`: "does not take", `%d{go[}`: "does not take",
	} {
		if _, err := Parse(format); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", format, err, want)
		}
	}
	for format, want := range map[string]string{
		`%k%v\n`: "cannot be told apart", `%o %v`: "not known here", `%h{%k} %v`: "to read headers", `%h{%k=%v,}\n`: "",
	} {
		_, err := NewSource(strings.NewReader(""), format)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: got %v, want %q", format, err, want)
		}
	}
}

// readAll reads all records, in a form that is easy to compare.
func readAll(s Source) (got []string, err error) {
	for {
		var r Record
		if err := s.Next(&r); errors.Is(err, io.EOF) {
			return got, nil
		} else if err != nil {
			return got, err
		}
		f, err := Parse(`%p %d %K:%k %V:%v%h{ %k=%v}`)
		if err != nil {
			return got, err
		}
		got = append(got, string(f.Append(nil, &r)))
	}
}

func TestInput(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	for _, c := range []struct {
		format, in string
		want       []string
		err        string
	}{
		{`%v`, "a\nb\n", []string{"-1 -1 -1: 1:a", "-1 -1 -1: 1:b"}, ""},
		{`%v\n`, "a\n\nlast", []string{"-1 -1 -1: 1:a", "-1 -1 -1: 0:", "-1 -1 -1: 4:last"}, ""},
		{`%v\n`, "", nil, ""},
		{`%v\n`, long + "\n", []string{"-1 -1 -1: 200000:" + long}, ""},
		{`%k\t%v\n`, "k\tv\tw\n", []string{"-1 -1 1:k 3:v\tw"}, ""},
		{`%k => %v;`, "a= => b;c => d", []string{"-1 -1 2:a= 1:b", "-1 -1 1:c 1:d"}, ""},
		{`%p %d %v{hex}\n`, "2 17 00ff\n", []string{"2 17 -1: 2:\x00\xff"}, ""},
		{`%v{base64}\n`, "AP8=\n", []string{"-1 -1 -1: 2:\x00\xff"}, ""},
		{`<%v>`, "<a><b>", []string{"-1 -1 -1: 1:a", "-1 -1 -1: 1:b"}, ""},
		{`%h{%k=%v,} %v\n`, "a=1,b=2, v\n", []string{"-1 -1 -1: 1:v a=1 b=2"}, ""},
		{`%k\t%v\n`, "k\tv\nnokey\n", []string{"-1 -1 1:k 1:v"}, `record 2: no "\t" before the end`},
		{`<%v>`, "(a>", nil, `record 1: found "(" where the format has "<"`},
		{`%v{hex}`, "zz", nil, `is not hex`},
		{`%p %v`, "x y", nil, `"x" is not a partition`},
		{`%h{%k=%v,} %v\n`, "a v\n", nil, `header "a" has no "="`},
	} {
		s, err := NewSource(strings.NewReader(c.in), c.format)
		if err != nil {
			t.Errorf("%q: %v", c.format, err)
			continue
		}
		got, err := readAll(s)
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%q over %.40q: error %v, want %q", c.format, c.in, err, c.err)
		}
		if strings.Join(got, "|") != strings.Join(c.want, "|") {
			t.Errorf("%q over %.40q: got %.200q, want %.200q", c.format, c.in, got, c.want)
		}
	}
}

// TestJSONRoundTrip: whatever a record holds comes back byte for byte.
func TestJSONRoundTrip(t *testing.T) {
	bytesOrNull := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOf(rapid.Byte()),
		rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }))
	rapid.Check(t, func(t *rapid.T) {
		in := Record{Topic: "t", Partition: rapid.Int32().Draw(t, "partition")}
		in.Offset = record.Offset(rapid.Int64().Draw(t, "offset"))
		in.Timestamp = rapid.Int64().Draw(t, "timestamp")
		in.Key, in.Value = bytesOrNull.Draw(t, "key"), bytesOrNull.Draw(t, "value")
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			in.Headers.Add(rapid.String().Draw(t, "name"), bytesOrNull.Draw(t, "header"))
		}
		text, err := AppendJSON(nil, &in)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(text), "\n") != 1 {
			t.Fatalf("not one line: %q", text)
		}
		var out Record
		if err := NewJSONSource(strings.NewReader(string(text))).Next(&out); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if !same(&in, &out) {
			t.Fatalf("%s\nis read as %+v,\nwas %+v", text, out, in)
		}
	})
}

func same(a, b *Record) bool {
	equal := func(x, y []byte) bool { return string(x) == string(y) && (x == nil) == (y == nil) }
	var ha, hb []string
	for n, v := range a.Headers.All() {
		ha = append(ha, string(n), string(v), map[bool]string{true: "null"}[v == nil])
	}
	for n, v := range b.Headers.All() {
		hb = append(hb, string(n), string(v), map[bool]string{true: "null"}[v == nil])
	}
	return a.Topic == b.Topic && a.Partition == b.Partition && a.Offset == b.Offset && a.Timestamp == b.Timestamp &&
		equal(a.Key, b.Key) && equal(a.Value, b.Value) && strings.Join(ha, "\x00") == strings.Join(hb, "\x00")
}

func TestJSONInput(t *testing.T) {
	got, err := readAll(NewJSONSource(strings.NewReader(`{"value":"a"} {"key":"k","value":null,"partition":2}` + "\n{}")))
	want := "-1 -1 -1: 1:a|2 -1 1:k -1:|-1 -1 -1: -1:"
	if err != nil || strings.Join(got, "|") != want {
		t.Errorf("got %q, %v", got, err)
	}
	_, err = readAll(NewJSONSource(strings.NewReader("{\"value\":\"a\"}\n{\"vlaue\":\"b\"}")))
	if err == nil || !strings.Contains(err.Error(), "record 2") {
		t.Errorf("an unknown field: %v", err)
	}
}
