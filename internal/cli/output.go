package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"go.yaml.in/yaml/v3"
)

// The forms of --format.
const (
	formatText = "text"
	formatWide = "wide"
	formatJSON = "json"
	formatYAML = "yaml"
)

// show writes an answer: data for json and yaml, and what the function writes
// for people.
func (a *App) show(data any, people func(w io.Writer, wide bool) error) error {
	switch a.format {
	case formatText, formatWide:
		return people(a.Out, a.format == formatWide)
	case formatJSON:
		enc := json.NewEncoder(a.Out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(data)
	case formatYAML:
		enc := yaml.NewEncoder(a.Out)
		enc.SetIndent(2)
		return enc.Encode(data)
	}
	return usageError{fmt.Errorf("there is no format %q: text, wide, json or yaml", a.format), "polylog"}
}

// table gathers rows and aligns their columns.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, columns ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)}
	t.row(asAny(columns)...)
	return t
}

func (t *table) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		if texts[i] = fmt.Sprint(c); texts[i] == "" {
			texts[i] = "-"
		}
	}
	fmt.Fprintln(t.w, strings.Join(texts, "\t")) // an error shows in flush
}

func (t *table) flush() error { return t.w.Flush() }

func asAny(texts []string) []any {
	cells := make([]any, len(texts))
	for i, s := range texts {
		cells[i] = s
	}
	return cells
}

// joined writes a list of numbers with commas.
func joined(numbers []int32) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(numbers), "[]"), " ", ",")
}

// plural writes a count and a noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
