package recordfmt

import (
	"strings"
	"testing"
)

// FuzzFormat: no format and no input makes it panic, and output is bounded by
// the format and the record.
func FuzzFormat(f *testing.F) {
	for _, seed := range []string{`%v\n`, `%k\t%v\n`, `%h{%k=%v,} %p %d %v{hex}\n`, `%d{go[15:04]}%e%%\x41`, `%h{`, `%`} {
		f.Add(seed, "a\tb\nc=1, 2 3 ff\n")
	}
	f.Fuzz(func(_ *testing.T, format, input string) {
		if out, err := Parse(format); err == nil {
			out.Append(nil, sample())
		}
		for _, s := range []func() (Source, error){
			func() (Source, error) { return NewSource(strings.NewReader(input), format) },
			func() (Source, error) { return NewJSONSource(strings.NewReader(input)), nil },
		} {
			source, err := s()
			for err == nil {
				var r Record
				err = source.Next(&r)
			}
		}
	})
}
