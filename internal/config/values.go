package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written like 512MiB.
type Size int64

type sizeUnit struct {
	name  string
	bytes Size
}

var sizeUnits = []sizeUnit{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// String writes the size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s >= u.bytes && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// ParseSize reads a number of bytes with an optional binary unit: 4096, 64KiB,
// 1.5GiB. KB, MB, GB and k, m, g mean the same units.
func ParseSize(text string) (Size, error) {
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit := strings.ToLower(strings.TrimSpace(text[len(digits):]))
	scale := Size(1)
	if unit != "" && unit != "b" {
		i := slices.IndexFunc(sizeUnits, func(u sizeUnit) bool {
			full := strings.ToLower(u.name)
			return unit == full || unit == full[:1] || unit == full[:1]+"b"
		})
		if i < 0 {
			return 0, fmt.Errorf("%q is not a size: write it like 512MiB", text)
		}
		scale = sizeUnits[i].bytes
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || n < 0 || n*float64(scale) >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is not a size: write it like 512MiB", text)
	}
	return Size(n * float64(scale)), nil
}

// store parses value, as YAML or text gives it, into the field that p points
// to.
func store(p, value any) error {
	text := fmt.Sprint(value)
	switch p := p.(type) {
	case *string:
		*p = text
	case *bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		*p = b
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		*p = n
	case *Size:
		n, err := ParseSize(text)
		if err != nil {
			return err
		}
		*p = n
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return fmt.Errorf("%q is not a duration: write it like 500ms, 10s or 2h", text)
		}
		*p = d
	default:
		return fmt.Errorf("a field of type %T cannot be set", p)
	}
	return nil
}

// load returns the value that p points to.
func load(p any) any {
	switch p := p.(type) {
	case *string:
		return *p
	case *bool:
		return *p
	case *int:
		return *p
	case *Size:
		return *p
	case *time.Duration:
		return *p
	}
	return nil
}

// flagValue adapts a field to pflag; it keeps the text and refuses what cannot
// be parsed, so that the message names the flag.
type flagValue struct {
	field any
	typ   string
}

func newFlagValue(field any) *flagValue {
	v := &flagValue{field: field}
	switch field.(type) {
	case *string:
		v.typ = "string"
	case *bool:
		v.typ = "bool"
	case *int:
		v.typ = "int"
	case *Size:
		v.typ = "size"
	case *time.Duration:
		v.typ = "duration"
	}
	return v
}

func (v *flagValue) String() string {
	if v.field == nil { // pflag asks a zero value for its default
		return ""
	}
	return fmt.Sprint(load(v.field))
}

func (v *flagValue) Type() string          { return v.typ }
func (v *flagValue) Set(text string) error { return store(v.field, text) }

func notEmpty(v any) error {
	if v == "" {
		return errors.New("must not be empty")
	}
	return nil
}

// versionNumber: clients parse it, and some fail on anything else.
func versionNumber(v any) error {
	s, _ := v.(string)
	for part := range strings.SplitSeq(s, ".") {
		if _, err := strconv.ParseUint(part, 10, 16); err != nil {
			return fmt.Errorf("%q is not a version: write it like 3.13.7", s)
		}
	}
	return nil
}

func between(low, high int) func(any) error {
	return func(v any) error {
		if n, ok := v.(int); !ok || n < low || n > high {
			return fmt.Errorf("must lie between %d and %d", low, high)
		}
		return nil
	}
}

func sizeBetween(low, high Size) func(any) error {
	return func(v any) error {
		if n, ok := v.(Size); !ok || n < low || n > high {
			return fmt.Errorf("must lie between %s and %s", low, high)
		}
		return nil
	}
}

func atMost(limit time.Duration) func(any) error {
	return func(v any) error {
		if d, ok := v.(time.Duration); !ok || d > limit {
			return fmt.Errorf("must be at most %s", limit)
		}
		return nil
	}
}

func oneOf(words ...string) func(any) error {
	return func(v any) error {
		if s, ok := v.(string); !ok || !slices.Contains(words, s) {
			return fmt.Errorf("must be one of %s", strings.Join(words, ", "))
		}
		return nil
	}
}

func listenAddress(v any) error {
	s, _ := v.(string)
	if s == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is not an address: write it like 127.0.0.1:9092", s)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q is not a port", port)
	}
	return nil
}

func advertisedAddress(v any) error {
	s, _ := v.(string)
	if s == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return fmt.Errorf("%q is not host:port", s)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("%q is not a port that clients can connect to", port)
	}
	return nil
}

// loopback reports whether only this machine can reach a listen address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
