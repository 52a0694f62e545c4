package main

import (
	"bufio"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// outcome is how one test ended.
type outcome string

const (
	pass outcome = "pass"
	skip outcome = "skip"
	fail outcome = "fail"
)

// results holds the outcome of every test that ran, by name.
type results map[string]outcome

// leaves drops a test that only sums up its subtests: one that failed or
// passed with them.
func (r results) leaves() results {
	parents := map[string]bool{} // whether a subtest failed
	for name, o := range r {
		for i := strings.LastIndexByte(name, '/'); i > 0; i = strings.LastIndexByte(name[:i], '/') {
			parents[name[:i]] = parents[name[:i]] || o == fail
		}
	}
	leaves := results{}
	for name, o := range r {
		if failed, parent := parents[name]; parent && failed == (o == fail) {
			continue
		}
		leaves[name] = o
	}
	return leaves
}

func (r results) count() (passed, skipped, failed int) {
	for _, o := range r {
		switch o {
		case pass:
			passed++
		case skip:
			skipped++
		case fail:
			failed++
		}
	}
	return passed, skipped, failed
}

// list is what is expected of a suite: the tests that do not pass.
type list map[string]expectation

type expectation struct {
	outcome outcome
	reason  string
}

// parseList parses lines of "skip NAME REASON" and "fail NAME REASON"; empty
// lines and those that begin with # say nothing. A test that is skipped is not
// run; one that fails is, and must fail. Whatever is not listed must pass. A
// name ends at the first blank; it may be that of a subtest.
func parseList(text string) (list, error) {
	l := list{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		name, reason, _ := strings.Cut(strings.TrimSpace(rest), " ")
		reason = strings.TrimSpace(reason)
		switch {
		case word != string(skip) && word != string(fail):
			return nil, fmt.Errorf("line %d begins with %q, not with skip or fail", n, word)
		case reason == "":
			return nil, fmt.Errorf("line %d gives no reason", n)
		case l[name] != expectation{}:
			return nil, fmt.Errorf("line %d lists %s again", n, name)
		}
		l[name] = expectation{outcome(word), reason}
	}
	return l, nil
}

// skipped returns the names of the tests that are not to run, sorted.
func (l list) skipped() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(l)) {
		if l[name].outcome == skip {
			names = append(names, name)
		}
	}
	return names
}

// unseen returns how many tests were skipped without a trace in the results.
func (l list) unseen(got results) int {
	n := 0
	for _, name := range l.skipped() {
		if got[name] == "" {
			n++
		}
	}
	return n
}

// compare returns what is not as listed, a line each, sorted.
func (l list) compare(got results) []string {
	var diff []string
	for _, name := range slices.Sorted(maps.Keys(got)) {
		o, want := got[name], l[name].outcome
		switch {
		case o == want || o == pass && want == "":
		case o == pass:
			diff = append(diff, fmt.Sprintf("passes, take it off the list: %s", name))
		default:
			diff = append(diff, fmt.Sprintf("%s, not listed so: %s", o, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l)) {
		if l[name].outcome == fail && got[name] == "" {
			diff = append(diff, fmt.Sprintf("listed as failing, but did not run: %s", name))
		}
	}
	return diff
}
