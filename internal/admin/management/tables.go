package management

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// object shows a table as a JSON object, as RabbitMQ does: types that JSON does
// not have become its nearest.
func object(t wire.Table) map[string]any {
	o := map[string]any{}
	for name, v := range t.All() {
		o[string(name)] = plain(v)
	}
	return o
}

func plain(v wire.Value) any {
	if n, ok := v.Int(); ok {
		return n
	}
	if b, ok := v.Bool(); ok {
		return b
	}
	if f, ok := v.Float(); ok {
		return f
	}
	if sec, ok := v.Timestamp(); ok {
		return sec
	}
	switch v.Tag {
	case wire.TagTable:
		return object(wire.Table(v.Raw))
	case wire.TagArray:
		items := []any{}
		for e := range v.Elements() {
			items = append(items, plain(e))
		}
		return items
	case wire.TagDecimal:
		return float64(int32(binary.BigEndian.Uint32(v.Raw[1:]))) / math.Pow10(int(v.Raw[0]))
	case wire.TagVoid:
		return nil
	}
	if utf8.Valid(v.Raw) {
		return string(v.Raw)
	}
	return base64.StdEncoding.EncodeToString(v.Raw)
}

// table reads a JSON object as a table, in the order of its names. What is in it
// may lie maxNested deep.
func table(o map[string]any) (wire.Table, error) { return tableAt(o, 0) }

func tableAt(o map[string]any, depth int) (wire.Table, error) {
	if depth > maxNested {
		return nil, fmt.Errorf("more than %d levels lie in each other", maxNested)
	}
	var t wire.Table
	for _, name := range sortedNames(o) {
		v, err := value(o[name], depth)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t = t.AppendValue(name, v)
	}
	return t, nil
}

func sortedNames(o map[string]any) []string {
	names := make([]string, 0, len(o))
	for name := range o {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// value makes a value of what JSON has, depth levels deep: whole numbers are of 64
// bits.
func value(v any, depth int) (wire.Value, error) {
	switch v := v.(type) {
	case nil:
		return wire.Value{Tag: wire.TagVoid}, nil
	case bool:
		raw := []byte{0}
		if v {
			raw[0] = 1
		}
		return wire.Value{Tag: wire.TagBool, Raw: raw}, nil
	case string:
		return wire.Value{Tag: wire.TagString, Raw: []byte(v)}, nil
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return wire.Value{Tag: wire.TagInt64, Raw: binary.BigEndian.AppendUint64(nil, uint64(n))}, nil
		}
		f, err := v.Float64()
		if err != nil {
			return wire.Value{}, fmt.Errorf("the number %s: %w", v, err)
		}
		return wire.Value{Tag: wire.TagDouble, Raw: binary.BigEndian.AppendUint64(nil, math.Float64bits(f))}, nil
	case map[string]any:
		t, err := tableAt(v, depth+1)
		return wire.Value{Tag: wire.TagTable, Raw: t}, err
	case []any:
		if depth++; depth > maxNested {
			return wire.Value{}, fmt.Errorf("more than %d levels lie in each other", maxNested)
		}
		var a wire.Array
		for _, item := range v {
			e, err := value(item, depth)
			if err != nil {
				return wire.Value{}, err
			}
			a = a.Append(e)
		}
		return wire.Value{Tag: wire.TagArray, Raw: a}, nil
	}
	return wire.Value{}, fmt.Errorf("a %T", v)
}

// arguments is a JSON object that keeps whole numbers whole.
type arguments map[string]any

// UnmarshalJSON implements json.Unmarshaler. Some tools write an empty list for
// an empty object.
func (a *arguments) UnmarshalJSON(b []byte) error {
	if bytes.Equal(bytes.TrimSpace(b), []byte("[]")) {
		*a = nil
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode((*map[string]any)(a))
}

// rawObject is a JSON object whose values are left as they are.
type rawObject map[string]json.RawMessage

// UnmarshalJSON implements json.Unmarshaler; see arguments.
func (o *rawObject) UnmarshalJSON(b []byte) error {
	if bytes.Equal(bytes.TrimSpace(b), []byte("[]")) {
		*o = nil
		return nil
	}
	return json.Unmarshal(b, (*map[string]json.RawMessage)(o))
}

// whole is a whole number that some tools write as a string.
type whole int

// UnmarshalJSON implements json.Unmarshaler.
func (n *whole) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(bytes.Trim(b, `"`), (*int)(n))
}

// flag is a boolean that some tools write as a string.
type flag bool

// UnmarshalJSON implements json.Unmarshaler.
func (f *flag) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "true", `"true"`:
		*f = true
	case "false", `"false"`, "null", `""`:
		*f = false
	default:
		return fmt.Errorf("%s is neither true nor false", b)
	}
	return nil
}
