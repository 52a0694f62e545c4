// Package harness runs the real binary for tests: it builds it, starts it on
// free ports, waits for the addresses it prints, and stops, kills, freezes and
// restarts it. Nothing here sleeps.
package harness

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// startTime and stopTime bound how long a server may take; a test that
	// runs into them has failed.
	startTime = 60 * time.Second
	stopTime  = 10 * time.Second
)

// Binary returns the path of the binary under test: POLYLOG_BINARY, or one
// that is built from the repository around this module.
func Binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("POLYLOG_BINARY"); path != "" {
		return path
	}
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "polylog-test-")
	if err != nil {
		return "", fmt.Errorf("making a folder for the binary: %w", err)
	}
	path := filepath.Join(dir, "polylog")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/polylog")
	cmd.Dir = repository()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the binary: %w\n%s", err, out)
	}
	return path, nil
})

// repository returns the folder of the main module: the nearest above with a
// cmd/polylog.
func repository() string {
	dir := "."
	for range 6 {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "polylog")); err == nil {
			return dir
		}
		dir = filepath.Join(dir, "..")
	}
	return "."
}

// Server is a server process, and what starts it anew.
type Server struct {
	t    testing.TB
	args []string
	dir  string
	// bound holds the addresses by protocol. A restart keeps them, so that
	// clients find the server again.
	bound map[string]string
	cmd   *exec.Cmd
	log   *tail
	took  time.Duration
	ended chan error
}

// Start starts a server with more flags than the harness's own. The test's end
// kills it; its log shows when the test failed.
func Start(t testing.TB, flags ...string) *Server {
	t.Helper()
	return StartIn(t, t.TempDir(), flags...)
}

// StartIn is Start with the data in a folder of the caller's.
func StartIn(t testing.TB, dir string, flags ...string) *Server {
	t.Helper()
	s := &Server{t: t, args: flags, dir: dir, bound: map[string]string{}, log: &tail{}}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.log.String())
		}
	})
	s.Restart()
	return s
}

// Restart starts the server again, on the same data folder and addresses, and
// waits until it is ready. The previous process must have ended.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.TryRestart(); err != nil {
		s.t.Fatal(err)
	}
}

// TryRestart is Restart for a server that may refuse; the error holds what it
// said.
func (s *Server) TryRestart() error {
	address := func(protocol string) string {
		if a := s.bound[protocol]; a != "" {
			return a
		}
		return "127.0.0.1:0"
	}
	args := append([]string{
		"serve", "--data-dir", filepath.Join(s.dir, "data"),
		"--kafka-listen", address("kafka"), "--amqp-listen", address("amqp"), "--http-listen", address("http"),
	}, s.args...)
	s.cmd = exec.Command(Binary(s.t), args...)
	var said tail
	s.cmd.Stderr = io.MultiWriter(s.log, &said)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("connecting to the server's output: %w", err)
	}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("starting the server: %w", err)
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		s.watch(out, ready)
		ended <- s.cmd.Wait()
	}()
	s.ended = ended
	select {
	case <-ready:
		s.took = time.Since(began)
		return nil
	case err := <-ended:
		s.cmd = nil
		return fmt.Errorf("the server ended before it was ready (%w):\n%s", err, said.String())
	case <-time.After(startTime):
		s.Kill()
		return fmt.Errorf("the server was not ready after %s:\n%s", startTime, said.String())
	}
}

// watch reads the first lines: addresses until "Ready.", then whatever comes.
func (s *Server) watch(out io.Reader, ready chan struct{}) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 2 && slices.Contains(protocols, fields[0]):
			s.bound[fields[0]] = fields[1]
		case lines.Text() == "Ready.":
			close(ready)
			_, _ = io.Copy(io.Discard, out)
			return
		}
	}
}

// protocols are the words by which the server says where it listens.
var protocols = []string{"kafka", "amqp", "http", "kafkas", "amqps", "https"}

// Address returns the address of a protocol: "kafka", "amqp" or "http", with an
// "s" behind it for the listener with TLS.
func (s *Server) Address(protocol string) string { return s.bound[protocol] }

// Kafka returns the address of the Kafka listener.
func (s *Server) Kafka() string { return s.Address("kafka") }

// AMQP returns the URL of the AMQP listener, with the credentials of the one user.
func (s *Server) AMQP() string { return "amqp://guest:guest@" + s.Address("amqp") + "/" }

// HTTP returns the URL of the HTTP listener.
func (s *Server) HTTP() string { return "http://" + s.Address("http") }

// Data returns the data folder.
func (s *Server) Data() string { return filepath.Join(s.dir, "data") }

// Took returns how long the latest start took, to "Ready.".
func (s *Server) Took() time.Duration { return s.took }

// Pid returns the process id.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Log returns the last part of what the server has logged.
func (s *Server) Log() string { return s.log.String() }

// Kill ends the process at once (SIGKILL) and waits for its end. It does
// nothing when there is none.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.ended
	s.cmd = nil
}

// Stop asks the process to end (SIGTERM), waits for it, and returns how long
// that took. Any exit code but 0 fails the test.
func (s *Server) Stop() time.Duration {
	s.t.Helper()
	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatalf("stopping the server: %v", err)
	}
	select {
	case err := <-s.ended:
		if err != nil {
			s.t.Fatalf("the server did not end well: %v", err)
		}
	case <-time.After(stopTime):
		s.Kill()
		s.t.Fatalf("the server did not stop within %s", stopTime)
	}
	s.cmd = nil
	return time.Since(began)
}

// Freeze stops the process from running (SIGSTOP); Thaw lets it go on.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("sending %v to the server: %v", sig, err)
	}
}

// CLI runs a command of the binary against the server and returns its stdout,
// its stderr and its exit code.
func (s *Server) CLI(stdin string, args ...string) (out, errs string, code int) {
	s.t.Helper()
	cmd := exec.Command(Binary(s.t), args...)
	cmd.Env = append(os.Environ(), "POLYLOG_BROKERS="+s.Kafka(), "POLYLOG_HTTP="+s.HTTP())
	cmd.Stdin = strings.NewReader(stdin)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		s.t.Fatalf("running polylog %v: %v", args, err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// tail keeps the last part of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 64 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if len(t.buf) > 2*tailBytes {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailBytes:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
