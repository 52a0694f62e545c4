package main

import (
	"maps"
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

func TestReadJUnit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.xml")
	text := `<testsuites><testsuite>
<testcase classname="t.integration.test_rmq.test_ops" name="test_get[plain-1.5]"/>
<testcase classname="t.integration.test_rmq.test_ops" name="test_get[plain-1.5]"><error message="at its end"/></testcase>
<testcase classname="t.integration.test_rmq" name="test_connect"><skipped/></testcase>
<testcase classname="t.integration.test_rmq" name="test_close"/>
<testcase classname="t.integration.test_rmq" name="test_open"><failure/></testcase>
</testsuite></testsuites>`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := readJUnit(path)
	want := results{
		"test_rmq.test_ops.test_get[plain-1.5]": fail, "test_rmq.test_connect": skip,
		"test_rmq.test_close": pass, "test_rmq.test_open": fail,
	}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if got := deselect("t", "test_rmq.test_ops.test_get[plain-1.5]"); got != "t/test_rmq.py::test_ops::test_get[plain-1.5]" {
		t.Error(got)
	}
	if got := deselect("t/x.py", "x.test_get"); got != "t/x.py::test_get" {
		t.Error(got)
	}
}
