package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	l, err := parseList("# why\n\nskip A wants what is not there\nfail B/x a bug\nfail C another\nfail D gone\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := l.skipped(); !slices.Equal(got, []string{"A"}) {
		t.Errorf("skipped %q", got)
	}
	r := results{"B": fail, "B/x": fail, "B/y": pass, "C": pass, "E": fail, "F": pass, "G": skip, "H": fail, "H/x": pass}
	got := l.compare(r.leaves())
	want := []string{
		"passes, take it off the list: C",
		"fail, not listed so: E",
		"skip, not listed so: G",
		"fail, not listed so: H",
		"listed as failing, but did not run: D",
	}
	if !slices.Equal(got, want) {
		t.Errorf("differences:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := l.unseen(r); n != 1 {
		t.Errorf("%d skipped unseen, want 1", n)
	}
}

func TestParseListRefuses(t *testing.T) {
	for _, text := range []string{"pass A b", "skip A", "fail A", "skip A b\nfail A c"} {
		if _, err := parseList(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// TestLists parses every list, and sees that each belongs to a suite.
func TestLists(t *testing.T) {
	files, err := lists.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range all() {
		names[s.name+".txt"] = true
	}
	for _, f := range files {
		text, err := lists.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseList(string(text)); err != nil {
			t.Errorf("%s: %v", f.Name(), err)
		}
		if !names[f.Name()] {
			t.Errorf("%s is no suite's list", f.Name())
		}
		delete(names, f.Name())
	}
	for name := range names {
		t.Errorf("there is no %s", name)
	}
}

// TestListsByHand parses the lists of suites that were run by hand.
func TestListsByHand(t *testing.T) {
	paths, err := filepath.Glob("byhand/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d lists, %v", len(paths), err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseList(string(text)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestPattern(t *testing.T) {
	got := pattern([]string{"TestA", "TestB/c d"})
	if want := "^TestA$|^TestB$/^c_d$"; got != want {
		t.Errorf("pattern %q, want %q", got, want)
	}
}

func TestParseLines(t *testing.T) {
	got := parseLines("noise\nok one\nFAIL two because\n")
	if len(got) != 2 || got["one"] != pass || got["two"] != fail {
		t.Errorf("parsed %v", got)
	}
}
