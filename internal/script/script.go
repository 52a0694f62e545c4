// Package script runs the state machines' test scripts (test-only): a file is
// a list of commands, each followed by a line "----" and the output that is
// expected of it, ended by an empty line. Run with -rewrite to accept what the
// code says now, and read the difference.
package script

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the present output into the test scripts")

// Command is one step of a script: a name and its arguments, `name a b k=v`
// on the first line, and any lines below it.
type Command struct {
	Line  int    // of the file, from 1
	Text  string // the first line as it is
	Name  string
	Args  []string          // without "="
	Named map[string]string // from k=v
	Body  []string
}

// Str returns a named argument, or def.
func (c *Command) Str(name, def string) string {
	if v, ok := c.Named[name]; ok {
		return v
	}
	return def
}

// Int returns a named argument as an integer, or def; it panics on anything
// else, which fails the test with the command's line.
func (c *Command) Int(name string, def int64) int64 {
	v, ok := c.Named[name]
	if !ok {
		return def
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("line %d: %s=%s: %v", c.Line, name, v, err))
	}
	return n
}

// Run executes every script that matches pattern (testdata/*.txt), each as a
// subtest. The function start is called once per script and returns what
// executes one command and returns its output.
func Run(t *testing.T, pattern string, start func(t *testing.T) func(c *Command) string) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts match %s (%v)", pattern, err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		t.Run(name, func(t *testing.T) { runFile(t, path, start(t)) })
	}
}

func runFile(t *testing.T, path string, exec func(*Command) string) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	for i := 0; i < len(lines); {
		if s := strings.TrimSpace(lines[i]); s == "" || strings.HasPrefix(s, "#") {
			fmt.Fprintln(&out, lines[i])
			i++
			continue
		}
		start := i
		for i < len(lines) && lines[i] != "----" {
			i++
		}
		input := lines[start:i]
		i = min(i+1, len(lines))
		from := i
		for i < len(lines) && lines[i] != "" {
			i++
		}
		want := strings.Join(lines[from:i], "\n")
		cmd := parse(start+1, input)
		got := strings.TrimRight(exec(cmd), "\n")
		if got != want && !*rewrite {
			t.Errorf("%s:%d: %s\ngot:\n%s\nwant:\n%s", path, cmd.Line, input[0], got, want)
		}
		fmt.Fprintln(&out, strings.Join(input, "\n")+"\n----")
		if got != "" {
			fmt.Fprintln(&out, got)
		}
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func parse(line int, input []string) *Command {
	fields := strings.Fields(input[0])
	c := &Command{Line: line, Text: input[0], Name: fields[0], Named: map[string]string{}, Body: input[1:]}
	for _, f := range fields[1:] {
		if k, v, ok := strings.Cut(f, "="); ok {
			c.Named[k] = v
			continue
		}
		c.Args = append(c.Args, f)
	}
	return c
}

// Section holds what stands in a document between the lines "<!-- name" and
// "<!-- end" against got, or puts it there.
func Section(t *testing.T, path, name, got string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	from := strings.Index(text, "<!-- "+name)
	if from < 0 {
		t.Fatalf("%s has no section %q", path, name)
	}
	from += strings.IndexByte(text[from:], '\n') + 1
	to := strings.Index(text[from:], "<!-- end")
	if to < 0 {
		t.Fatalf("%s: the section %q does not end", path, name)
	}
	to += from
	switch {
	case text[from:to] == got:
	case !*rewrite:
		t.Errorf("%s, %s: it says\n%s\nand should say\n%s", path, name, text[from:to], got)
	default:
		if err := os.WriteFile(path, []byte(text[:from]+got+text[to:]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
