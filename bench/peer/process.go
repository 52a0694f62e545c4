package peer

import (
	"bufio"
	"context"
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

	"golang.org/x/sys/unix"
)

// Server is a running peer.
type Server struct {
	Name    string
	Version string
	Addr    string        // where it speaks Kafka, or what else it is a peer for
	AMQP    string        // where it speaks AMQP
	Dir     string        // its scratch directory
	Started time.Duration // from the start of the process until it listens
	Began   time.Time     // when the process was started
	env     []string      // beside that of this process
	args    []string
	cmd     *exec.Cmd
	exited  chan struct{} // closed when the process is gone
	outcome error         // then: how it ended
	after   []string      // a command that ends what else it has started
}

// Usage is what a server process has used so far.
type Usage struct {
	CPU      time.Duration // user and system
	Resident int64         // bytes of memory
	Written  int64         // bytes handed to the block layer
}

// start runs a program, with more environment, with its output in dir/name.log
// and returns when the address accepts connections.
func start(name, dir, addr string, env []string, args ...string) (*Server, error) {
	s := &Server{Name: name, Addr: addr, Dir: dir, env: env, args: args}
	return s, s.launch()
}

// launch starts the process.
func (s *Server) launch() error {
	log, err := os.OpenFile(filepath.Join(s.Dir, s.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.Name, err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(s.args[0], s.args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, s.Dir
	cmd.Env = append(os.Environ(), s.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	s.Began = time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.Name, err)
	}
	exited := make(chan struct{})
	s.cmd, s.exited = cmd, exited
	go func() {
		s.outcome = cmd.Wait()
		close(exited)
	}()
	for time.Since(s.Began) < 5*time.Minute {
		c, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err == nil {
			s.Started = time.Since(s.Began)
			return c.Close()
		}
		select {
		case <-s.exited:
			return fmt.Errorf("start %s: %w", s.Name, s.Died())
		case <-time.After(2 * time.Millisecond):
		}
	}
	return errors.Join(fmt.Errorf("start %s: nothing listens on %s after five minutes; see %s", s.Name, s.Addr, log.Name()), s.Kill())
}

// Gone is closed when the server's process has ended.
func (s *Server) Gone() <-chan struct{} { return s.exited }

// Died returns nil while the server's process is there, and else how it ended
// and what it said last.
func (s *Server) Died() error {
	select {
	case <-s.exited:
	default:
		return nil
	}
	how := "status 0"
	if s.outcome != nil {
		how = s.outcome.Error()
	}
	said, _ := os.ReadFile(filepath.Join(s.Dir, s.Name+".log"))
	return fmt.Errorf("%s has ended (%s); the last it said:\n%s", s.Name, how, said[max(0, len(said)-lastWords):])
}

// lastWords is how many bytes of a log an error quotes.
const lastWords = 2000

// Restart starts a server anew that was stopped or killed, on the same data and
// address.
func (s *Server) Restart() error { return s.launch() }

// Stop ends the server and waits for it.
func (s *Server) Stop() error {
	if err := s.signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", s.Name, err)
	}
	select {
	case <-s.exited:
		err := s.signal(syscall.SIGKILL) // what outlives the script that started it
		s.farewell()
		return err
	case <-time.After(20 * time.Second):
		err := s.Kill()
		s.farewell()
		return err
	}
}

// farewell ends what the server has started apart from itself, if it can.
func (s *Server) farewell() {
	if len(s.after) > 0 {
		cmd := exec.Command(s.after[0], s.after[1:]...)
		cmd.Env = append(os.Environ(), s.env...)
		_ = cmd.Run()
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

// DiskUsed returns the bytes that the server's folder takes.
func (s *Server) DiskUsed() int64 {
	var sum int64
	s.files(func(_ string, st *syscall.Stat_t) { sum += st.Blocks * 512 })
	return sum
}

// DropCache makes the kernel forget what it has in memory of the server's
// files, so that reading them again needs the disk.
func (s *Server) DropCache() {
	unix.Sync()
	s.files(func(path string, _ *syscall.Stat_t) {
		f, err := os.Open(path)
		if err != nil {
			return // deleted meanwhile
		}
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
		_ = f.Close()
	})
}

// Settle returns once the disk has what the kernel has in memory for it, so that
// nobody's syncs wait for what another server has left.
func Settle() { unix.Sync() }

// Rewritten waits until the files in the folder below the server's called name
// have least bytes together and have not grown for two seconds. It returns an
// error when ctx ends before. What counts is the files' size: the kernel gives
// them blocks when it likes.
func (s *Server) Rewritten(ctx context.Context, name string, least int64) error {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for size, still := int64(0), 0; ; {
		was := size
		size = 0
		s.files(func(path string, st *syscall.Stat_t) {
			if filepath.Base(filepath.Dir(path)) == name {
				size += st.Size
			}
		})
		if still++; size != was {
			still = 0
		}
		if size >= least && still >= 2 {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("only %d MB of at least %d were rewritten: %w", size/1e6, least/1e6, ctx.Err())
		}
	}
}

// files calls f for every file of the server's.
func (s *Server) files(f func(path string, st *syscall.Stat_t)) {
	_ = filepath.WalkDir(s.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // deleted meanwhile
		}
		if i, err := d.Info(); err == nil {
			if st, ok := i.Sys().(*syscall.Stat_t); ok {
				f(path, st)
			}
		}
		return nil
	})
}

// freePort returns a loopback address that nothing listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
