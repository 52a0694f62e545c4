// Command suites runs other people's tests against the real binary: it takes a
// suite from its package registry, copies it to a temporary folder, runs it
// against a freshly started server, and compares the outcome, test by test,
// with the list that lies beside this file under the suite's name.
//
//	suites -binary bin/polylog              every suite
//	suites -binary bin/polylog kgo sarama   these two
//
// A list holds what does not pass, each with its reason; see parseList. A
// suite that wants a tool this machine lacks is left out with a sentence that
// says what to install. The exit code is 1 after any outcome but the expected.
package main

import (
	"embed"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

//go:embed *.txt
var lists embed.FS

// suite is one set of tests by others.
type suite struct {
	name  string
	about string
	needs []tool
	// run runs the suite but the tests that skip names, and returns the
	// outcome of each test. It fails when the suite could not be run at all.
	run func(e *env, skip []string) (results, error)
}

// all returns every suite, in the order in which they run.
func all() []suite {
	return []suite{
		kgo(), librdkafka(), sarama(), kafkago(), java(), streams(), python(), kafkajs(), confluentjs(), exporter(),
		amqp091(), rabbithole(), pyamqp(), kombu(), rabbitpy(), rabbitjs(), nestjs(), spring(),
	}
}

// env is what a suite runs in.
type env struct {
	binary string
	cache  string // outlives the run: downloaded tools
	dir    string // the suite's own, removed after it
	log    *os.File
	match  string // -run: only the Go tests that it matches

	suite    string
	recorder *recorder // -record, or nil
}

func main() {
	binary := flag.String("binary", "bin/polylog", "the server to test")
	cache := flag.String("cache", defaultCache(), "folder that keeps downloaded tools")
	output := flag.String("output", "", "folder for the suites' full output (default: a temporary one)")
	match := flag.String("run", "", "only the Go tests that this regular expression matches; the lists are not compared")
	record := flag.String("record", "", "file to put the clients' requests into; the lists are not compared")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: suites [flags] [suite ...]")
		flag.PrintDefaults()
		for _, s := range all() {
			fmt.Fprintf(flag.CommandLine.Output(), "  %-12s %s\n", s.name, s.about)
		}
	}
	flag.Parse()
	if err := runSuites(*binary, *cache, *output, *match, *record, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
		os.Exit(1)
	}
}

func defaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "polylog-suites")
}

// runSuites runs the named suites, or all, one after the other.
func runSuites(binary, cache, output, match, record string, names []string) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return fmt.Errorf("find the binary: %w", err)
	}
	if _, err := os.Stat(binary); err != nil {
		return fmt.Errorf("find the binary (make build makes it): %w", err)
	}
	if output == "" {
		if output, err = os.MkdirTemp("", "polylog-suites-output-"); err != nil {
			return fmt.Errorf("make a folder for the output: %w", err)
		}
	}
	for _, dir := range []string{cache, output} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
	}
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	e := env{binary: binary, cache: cache, match: match}
	if record != "" {
		if e.recorder, err = openRecorder(record); err != nil {
			return err
		}
	}
	var bad []string
	for _, s := range chosen {
		e.suite = s.name
		if e.recorder != nil {
			e.recorder.forget(s.name)
		}
		if err := runOne(s, e, output); err != nil {
			fmt.Printf("%-12s %v\n", s.name, err)
			bad = append(bad, s.name)
		}
		if e.recorder != nil {
			if err := e.recorder.save(); err != nil {
				return err
			}
		}
	}
	if bad != nil {
		return fmt.Errorf("not as expected: %s; the full output is in %s", strings.Join(bad, ", "), output)
	}
	return nil
}

func choose(names []string) ([]suite, error) {
	suites := all()
	if len(names) == 0 {
		return suites, nil
	}
	var chosen []suite
	for _, name := range names {
		i := slices.IndexFunc(suites, func(s suite) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no suite %q; -help lists them", name)
		}
		chosen = append(chosen, suites[i])
	}
	return chosen, nil
}

// runOne runs a suite and prints how it went; the error says what was not as
// its list says.
func runOne(s suite, e env, output string) error {
	if missing := missingTools(s.needs); missing != "" {
		fmt.Printf("%-12s not run: %s\n", s.name, missing)
		return nil
	}
	text, err := lists.ReadFile(s.name + ".txt")
	if err != nil {
		return fmt.Errorf("read the list: %w", err)
	}
	want, err := parseList(string(text))
	if err != nil {
		return fmt.Errorf("read the list %s.txt: %w", s.name, err)
	}
	if e.dir, err = os.MkdirTemp("", "polylog-suite-"+s.name+"-"); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(e.dir) }() // a leftover is a nuisance, not a failure
	if e.log, err = os.Create(filepath.Join(output, s.name+".log")); err != nil {
		return fmt.Errorf("make the output file: %w", err)
	}
	defer func() { _ = e.log.Close() }() // what the suite said is no result of ours
	began := time.Now()
	got, err := s.run(&e, want.skipped())
	if err != nil {
		return fmt.Errorf("could not be run: %w", err)
	}
	got = got.leaves()
	passed, skipped, failed := got.count()
	fmt.Printf("%-12s %d passed, %d skipped, %d failed, in %s\n", s.name,
		passed, skipped+want.unseen(got), failed, time.Since(began).Round(time.Second))
	if e.match != "" || e.recorder != nil {
		return nil
	}
	if diff := want.compare(got); diff != nil {
		return fmt.Errorf("differs from its list:\n  %s", strings.Join(diff, "\n  "))
	}
	return nil
}
