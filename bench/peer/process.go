package peer

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Server is a running peer.
type Server struct {
	Name    string
	Version string
	Addr    string // where it speaks Kafka, or what else it is a peer for
	AMQP    string // where it speaks AMQP
	Dir     string // its scratch directory
	Started time.Duration
	cmd     *exec.Cmd
	exited  chan error
}

// Usage is what a server process has used so far.
type Usage struct {
	CPU      time.Duration // user and system
	Resident int64         // bytes of memory
	Written  int64         // bytes handed to the block layer
}

// start runs cmd with its output in dir/name.log and returns when the address
// accepts connections.
func start(name, dir, addr string, cmd *exec.Cmd) (*Server, error) {
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	s := &Server{Name: name, Addr: addr, Dir: dir, cmd: cmd, exited: make(chan error, 1)}
	go func() { s.exited <- cmd.Wait() }()
	for time.Since(began) < time.Minute {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			s.Started = time.Since(began)
			return s, c.Close()
		}
		select {
		case err := <-s.exited:
			return nil, fmt.Errorf("start %s: it exited (%w); see %s", name, err, log.Name())
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil, errors.Join(fmt.Errorf("start %s: nothing listens on %s after a minute; see %s", name, addr, log.Name()), s.Stop())
}

// Stop ends the server and waits for it.
func (s *Server) Stop() error {
	if err := s.signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", s.Name, err)
	}
	select {
	case <-s.exited:
		return s.signal(syscall.SIGKILL) // what outlives the script that started it
	case <-time.After(20 * time.Second):
		return s.Kill()
	}
}

// Kill ends the server as a crash would.
func (s *Server) Kill() error {
	if err := s.signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s: %w", s.Name, err)
	}
	<-s.exited
	return nil
}

// signal reaches the server and the processes that it has started: some begin as
// a script.
func (s *Server) signal(sig syscall.Signal) error {
	if err := syscall.Kill(-s.cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// Usage reads the accounts of the server's process and of those that it has
// started.
func (s *Server) Usage() (Usage, error) {
	var all Usage
	for pids := []int{s.cmd.Process.Pid}; len(pids) > 0; pids = pids[1:] {
		u, err := s.usageOf(pids[0])
		if err != nil {
			return Usage{}, err
		}
		all.CPU += u.CPU
		all.Resident += u.Resident
		all.Written += u.Written
		pids = append(pids, children(pids[0])...)
	}
	return all, nil
}

// children returns the processes that a process has started, none if it is gone.
func children(pid int) (pids []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is good
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for _, word := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(word); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

func (s *Server) usageOf(pid int) (Usage, error) {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return Usage{}, fmt.Errorf("read the accounts of %s: %w", s.Name, err)
	}
	// Behind the command name in parentheses: field 3 (state) and on; 14 and
	// 15 are user and system ticks of 10 ms.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var u Usage
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return Usage{}, fmt.Errorf("read the processor time of %s: %w", s.Name, err)
		}
		u.CPU += time.Duration(n) * 10 * time.Millisecond
	}
	if u.Resident, err = procField(filepath.Join(proc, "status"), "VmRSS:"); err != nil {
		return Usage{}, err
	}
	u.Resident <<= 10
	u.Written, err = procField(filepath.Join(proc, "io"), "write_bytes:")
	return u, err
}

func procField(path, name string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), name); ok {
			return strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("read %s: no such line in %s", name, path)
}

// freePort returns a loopback address that nothing listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
