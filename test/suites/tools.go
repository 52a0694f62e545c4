package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// tool is a program that a suite cannot do without.
type tool struct {
	program string
	install string // the Debian packages that bring it
}

var (
	toolGo     = tool{"go", "golang"}
	toolGCC    = tool{"gcc", "gcc libc6-dev"}
	toolJava   = tool{"java", "default-jre-headless"}
	toolJavac  = tool{"javac", "default-jdk-headless"}
	toolMaven  = tool{"mvn", "maven"}
	toolMake   = tool{"make", "make g++ libssl-dev zlib1g-dev"}
	toolPython = tool{"python3", "python3-venv python3-pip"}
	toolNode   = tool{"node", "nodejs"}
	toolNPM    = tool{"npm", "npm"}
)

// missingTools returns a sentence about what is not installed, or nothing.
func missingTools(tools []tool) string {
	var programs, packages []string
	for _, t := range tools {
		if _, err := exec.LookPath(t.program); err != nil {
			programs, packages = append(programs, t.program), append(packages, t.install)
		}
	}
	if programs == nil {
		return ""
	}
	return fmt.Sprintf("%s is missing; on Debian: apt-get install %s",
		strings.Join(programs, ", "), strings.Join(packages, " "))
}

// command returns a command whose whole output goes to the suite's log.
func (e *env) command(dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, e.log, e.log
	return cmd
}

// output runs a command and returns its standard output, which goes to the
// suite's log as well. An exit code is no error: what was said tells.
func (e *env) output(cmd *exec.Cmd) (string, error) {
	var out strings.Builder
	cmd.Stdout = io.MultiWriter(&out, e.log)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	return out.String(), nil
}

// once runs install unless an earlier run has finished it; mark is a file that
// remembers that.
func once(mark string, install func() error) error {
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	if err := install(); err != nil {
		return err
	}
	return os.WriteFile(mark, nil, 0o644)
}

// parseLines reads the outcomes from lines "ok NAME" and "FAIL NAME REASON" of
// our own round trips; other lines are theirs.
func parseLines(text string) results {
	r := results{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) >= 2 && f[0] == "ok":
			r[f[1]] = pass
		case len(f) >= 2 && f[0] == "FAIL":
			r[f[1]] = fail
		}
	}
	return r
}
