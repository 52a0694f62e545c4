package admin

import (
	"encoding/base64"
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"github.com/polylog-mq/polylog/internal/adminapi"
	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/route"
)

// encode returns arguments as a field table, sorted by name.
func encode(args map[string]any) (broker.Table, error) {
	var t []byte
	for _, name := range slices.Sorted(maps.Keys(args)) {
		if len(name) > math.MaxUint8 {
			return nil, wrong("an argument's name is longer than 255 bytes")
		}
		t = append(append(t, byte(len(name))), name...)
		var err error
		if t, err = encodeValue(t, args[name]); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func encodeValue(t []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(t, route.TypeVoid), nil
	case string:
		return appendLong(append(t, route.TypeText), []byte(v)), nil
	case bool:
		if v {
			return append(t, route.TypeBool, 1), nil
		}
		return append(t, route.TypeBool, 0), nil
	case int64:
		return binary.BigEndian.AppendUint64(append(t, route.TypeInt64), uint64(v)), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(t, route.TypeDouble), math.Float64bits(v)), nil
	case []any:
		var list []byte
		for _, e := range v {
			var err error
			if list, err = encodeValue(list, e); err != nil {
				return nil, err
			}
		}
		return appendLong(append(t, route.TypeArray), list), nil
	case map[string]any:
		fields, err := encode(v)
		return appendLong(append(t, route.TypeTable), fields), err
	}
	return nil, wrong("an argument of type %T", v)
}

func appendLong(t, v []byte) []byte {
	return append(binary.BigEndian.AppendUint32(t, uint32(len(v))), v...)
}

// decode returns a table as arguments. What JSON does not have is written as
// text.
func decode(t broker.Table) adminapi.Arguments {
	if len(t) == 0 {
		return nil
	}
	args := adminapi.Arguments{}
	for name, v := range t.All() {
		args[string(name)] = decodeValue(v)
	}
	return args
}

func decodeValue(v route.Value) any {
	if n, ok := v.Integer(); ok {
		return n
	}
	if f, ok := v.Float(); ok && !math.IsNaN(f) && !math.IsInf(f, 0) {
		return f
	}
	if b, ok := v.Bool(); ok {
		return b
	}
	if s, ok := v.Text(); ok {
		return s
	}
	switch v.Type {
	case route.TypeVoid:
		return nil
	case route.TypeTable:
		return decode(v.Data)
	case route.TypeArray:
		list := []any{}
		for e := range v.Elements() {
			list = append(list, decodeValue(e))
		}
		return list
	}
	return base64.StdEncoding.EncodeToString(v.Data)
}
