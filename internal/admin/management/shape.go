package management

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// What a request asks of the form of its answer: `columns` chooses fields of
// objects, `sort` and `sort_reverse` order lists. Both name fields by paths with
// dots. The order of values of several kinds is RabbitMQ's: numbers, then true,
// false and null by their names, objects, lists, texts; a field that is not there
// counts as 0.

// arranged returns a list in the order that a request asks for: of items that are
// alike, the order stays.
func arranged[T any](q *request, items []T) ([]T, error) {
	form := q.r.URL.Query()
	path, reverse := form.Get("sort"), form.Get("sort_reverse") == "true"
	if path != "" {
		type keyed struct {
			item T
			key  any
		}
		keys := make([]keyed, len(items))
		for i := range items {
			v, err := generic(items[i])
			if err != nil {
				return nil, err
			}
			keys[i] = keyed{items[i], fieldOf(v, strings.Split(path, "."))}
		}
		slices.SortStableFunc(keys, func(a, b keyed) int { return compareValues(a.key, b.key) })
		items = make([]T, len(keys))
		for i := range keys {
			items[i] = keys[i].item
		}
	}
	if reverse {
		items = slices.Clone(items)
		slices.Reverse(items)
	}
	return items, nil
}

// generic is a value as JSON has it: numbers keep their digits.
func generic(v any) (any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding an answer: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var g any
	if err := d.Decode(&g); err != nil {
		return nil, fmt.Errorf("reading an answer: %w", err)
	}
	return g, nil
}

func fieldOf(v any, path []string) any {
	for _, name := range path {
		o, _ := v.(map[string]any)
		field, there := o[name]
		if !there {
			return json.Number("0")
		}
		v = field
	}
	return v
}

// rank orders kinds of values.
func rank(v any) int {
	switch v.(type) {
	case json.Number:
		return 0
	case bool, nil:
		return 1
	case map[string]any:
		return 2
	case []any:
		return 3
	}
	return 4
}

func compareValues(a, b any) int {
	if c := rank(a) - rank(b); c != 0 {
		return c
	}
	switch x := a.(type) {
	case json.Number:
		m, _ := x.Float64()
		n, _ := b.(json.Number).Float64()
		return cmp.Compare(m, n)
	case string:
		return strings.Compare(x, b.(string))
	}
	return strings.Compare(text(a), text(b))
}

// text writes a value; of those that are compared by it, as they are sorted.
func text(v any) string {
	b, _ := json.Marshal(v) // it was read from JSON
	return string(b)
}

// columns returns the paths that a request names, nil if it wants everything.
func (q *request) columns() (paths [][]string) {
	for name := range strings.SplitSeq(q.r.URL.Query().Get("columns"), ",") {
		if name != "" {
			paths = append(paths, strings.Split(name, "."))
		}
	}
	return paths
}

// pick returns of an object, or of each object of a list, the fields that paths
// name.
func pick(v any, paths [][]string) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = pick(v[i], paths)
		}
		return v
	case map[string]any:
		picked := map[string]any{}
		for name, field := range v {
			var rest [][]string
			whole := false
			for _, p := range paths {
				if p[0] == name {
					rest, whole = append(rest, p[1:]), whole || len(p) == 1
				}
			}
			switch {
			case whole:
				picked[name] = field
			case rest != nil:
				picked[name] = pick(field, rest)
			}
		}
		return picked
	}
	return v
}
