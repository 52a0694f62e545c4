package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the table of settings into the guide")

// TestGuide holds the guide's table of settings against this package's.
func TestGuide(t *testing.T) {
	const path = "../../docs/guide/configuration.md"
	const begin, end = "<!-- settings -->\n", "<!-- end of settings -->\n"
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(old), begin)
	_, foot, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	table := "| setting | default | meaning |\n|---|---|---|\n"
	defaults := Default()
	for _, s := range settings {
		value := fmt.Sprint(load(s.field(&defaults)))
		if value != "" {
			value = "`" + value + "`"
		}
		table += fmt.Sprintf("| `%s` | %s | %s |\n", s.key, value, s.doc)
	}
	want := head + begin + table + end + foot
	if want == string(old) {
		return
	}
	if !*rewrite {
		t.Fatalf("the table in %s is not that of settings.go: run go test ./internal/config -rewrite", path)
	}
	if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}
