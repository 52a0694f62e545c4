package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// startTime and stopTime bound what the server may take.
	startTime = 60 * time.Second
	stopTime  = 10 * time.Second
)

// server is a running Polylog with a data folder of its own.
type server struct {
	cmd   *exec.Cmd
	kafka string
	amqp  string
	http  string
	proxy net.Listener // of the recorder
	ended chan error
}

// start starts a server on free ports, with flags beside those, and waits
// until it is ready. Its log goes to the suite's.
func (e *env) start(flags ...string) (*server, error) {
	args := append([]string{"serve", "--data-dir", filepath.Join(e.dir, "data"), "--http-listen", "127.0.0.1:0",
		"--kafka-listen", "127.0.0.1:0", "--amqp-listen", "127.0.0.1:0"}, flags...)
	s := &server{ended: make(chan error, 1)}
	if e.recorder != nil {
		var err error
		if s.proxy, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("listen for the recorder: %w", err)
		}
		args = append(args, "--kafka-advertise", s.proxy.Addr().String())
	}
	s.cmd = exec.Command(e.binary, args...)
	s.cmd.Stderr = e.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	ready := make(chan map[string]string, 1)
	go func() {
		bound := map[string]string{}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if f := strings.Fields(lines.Text()); len(f) >= 2 {
				bound[f[0]] = f[1]
			}
			if lines.Text() == "Ready." {
				ready <- bound
				break
			}
		}
		_, _ = io.Copy(io.Discard, out) // the pipe's end is the process's end
		s.ended <- s.cmd.Wait()
	}()
	select {
	case bound := <-ready:
		s.kafka, s.amqp, s.http = bound["kafka"], bound["amqp"], bound["http"]
		if s.proxy != nil {
			go e.recorder.between(e.suite, s.proxy, s.kafka)
			s.kafka = s.proxy.Addr().String()
		}
		return s, nil
	case err := <-s.ended:
		return nil, fmt.Errorf("the server ended before it was ready (%v); its log is in %s", err, e.log.Name())
	case <-time.After(startTime):
		_ = s.cmd.Process.Kill()
		return nil, fmt.Errorf("the server was not ready after %s", startTime)
	}
}

// stop ends the server. That it does not end well is a failure of its own.
func (s *server) stop() error {
	if s.proxy != nil {
		_ = s.proxy.Close() // it has nothing to lose
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	select {
	case err := <-s.ended:
		if err != nil {
			return fmt.Errorf("the server did not end well: %w", err)
		}
		return nil
	case <-time.After(stopTime):
		_ = s.cmd.Process.Kill()
		return fmt.Errorf("the server did not stop within %s", stopTime)
	}
}

// serving runs f against a fresh server, and stops that.
func (e *env) serving(f func(s *server) (results, error), flags ...string) (results, error) {
	s, err := e.start(flags...)
	if err != nil {
		return nil, err
	}
	r, err := f(s)
	if stopped := s.stop(); err == nil {
		err = stopped
	}
	return r, err
}

// topic makes a topic with the server's own command.
func (e *env) topic(s *server, name string, partitions int) error {
	cmd := e.command(e.dir, e.binary, "topic", "create", name, "--partitions", fmt.Sprint(partitions))
	cmd.Env = append(os.Environ(), "POLYLOG_BROKERS="+s.kafka)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("make the topic %s: %w", name, err)
	}
	return nil
}
