package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// goModule takes a module from the module proxy and returns a copy in the
// suite's folder, writable.
func (e *env) goModule(module string) (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", module)
	cmd.Dir, cmd.Stderr = e.dir, e.log
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("download %s: %w\n%s", module, err, out)
	}
	var at struct{ Dir string }
	if err := json.Unmarshal(out, &at); err != nil {
		return "", fmt.Errorf("download %s: %w", module, err)
	}
	dir := filepath.Join(e.dir, "module")
	if err := os.CopyFS(dir, os.DirFS(at.Dir)); err != nil {
		return "", fmt.Errorf("copy %s: %w", module, err)
	}
	return dir, nil
}

// goTest runs the Go tests of a package folder and returns their outcomes.
// Tests of names in skipped are not run.
func (e *env) goTest(dir string, environ, skipped []string, args ...string) (results, error) {
	args = append([]string{"test", "-json", "-count=1", "-timeout=30m"}, args...)
	if e.match != "" {
		args = append(args, "-run", e.match)
	}
	if len(skipped) > 0 {
		args = append(args, "-skip", pattern(skipped))
	}
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Dir, cmd.Stderr = dir, e.log
	cmd.Env = append(os.Environ(), environ...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("connect to go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start go test: %w", err)
	}
	r, broken := e.events(out)
	err = cmd.Wait() // that tests failed is in the results
	if len(r) == 0 || broken {
		return nil, fmt.Errorf("go test in %s ran no test or did not finish (%v); its output is in %s", dir, err, e.log.Name())
	}
	return r, nil
}

// events reads the stream of go test -json: outcomes by test, the rest to the
// suite's log. It also tells whether the package failed beside its tests, as
// it does when it does not build, panics or takes too long.
func (e *env) events(out io.Reader) (r results, broken bool) {
	r = results{}
	ran := map[string]bool{}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &event) != nil {
			_, _ = fmt.Fprintln(e.log, lines.Text()) // not an event: a compiler's remark
			continue
		}
		switch event.Action {
		case "output":
			_, _ = io.WriteString(e.log, event.Output)
		case "run":
			ran[event.Test] = true
		case "pass", "skip", "fail":
			if event.Test != "" {
				r[event.Test] = outcome(event.Action)
			}
		}
	}
	for test := range ran {
		broken = broken || r[test] == ""
	}
	return r, broken
}

// pattern returns a regular expression of go test for exactly these tests.
func pattern(names []string) string {
	alternatives := make([]string, len(names))
	for i, name := range names {
		parts := strings.Split(strings.ReplaceAll(name, " ", "_"), "/")
		for j, part := range parts {
			parts[j] = "^" + regexp.QuoteMeta(part) + "$"
		}
		alternatives[i] = strings.Join(parts, "/")
	}
	return strings.Join(alternatives, "|")
}
