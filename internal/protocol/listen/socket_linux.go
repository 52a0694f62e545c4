package listen

import (
	"io"
	"net"
	"syscall"
	"unsafe"
)

// Socket reads from and writes to a TCP connection without waiting. One
// goroutine may read while another writes.
type Socket struct {
	raw     syscall.RawConn
	in, out transfer
}

// transfer is one direction of a socket.
type transfer struct {
	trap uintptr          // the system call
	call func(fd uintptr) // do, bound once

	b   []byte
	n   int
	err error
}

// NewSocket returns nil for what is no plain TCP connection, and where there is
// no such way to use one.
func NewSocket(nc net.Conn) *Socket {
	t, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	s := &Socket{raw: raw}
	s.in.trap, s.out.trap = syscall.SYS_READ, syscall.SYS_WRITE
	s.in.call, s.out.call = s.in.do, s.out.do
	return s
}

// Read reads as much as there is, up to len(b) bytes, perhaps nothing. The error
// is io.EOF when the peer has ended its direction. b must not be empty.
func (s *Socket) Read(b []byte) (int, error) {
	n, waits, err := s.in.run(s.raw, b)
	if n == 0 && err == nil && !waits {
		return 0, io.EOF
	}
	return n, err
}

// Write writes as much of b as there is room for, perhaps nothing.
func (s *Socket) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, _, err := s.out.run(s.raw, b)
	return n, err
}

// run makes the call; waits reports that it would have had to wait.
func (t *transfer) run(raw syscall.RawConn, b []byte) (n int, waits bool, err error) {
	t.b, t.n, t.err = b, 0, nil
	err = raw.Control(t.call)
	t.b = nil
	if err != nil {
		return 0, false, err
	}
	if t.err == syscall.EAGAIN {
		return 0, true, nil
	}
	return t.n, false, t.err
}

// do is the call itself. It cannot block, so that the scheduler need not know.
func (t *transfer) do(fd uintptr) {
	for {
		n, _, e := syscall.RawSyscall(t.trap, fd, uintptr(unsafe.Pointer(&t.b[0])), uintptr(len(t.b)))
		switch e {
		case 0:
			t.n = int(n)
		case syscall.EINTR:
			continue
		default:
			t.err = e
		}
		return
	}
}
