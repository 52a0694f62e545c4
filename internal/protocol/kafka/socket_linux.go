package kafka

import (
	"net"
	"syscall"
	"unsafe"
)

// socket writes to a TCP connection without waiting. One goroutine uses it at a
// time.
type socket struct {
	raw  syscall.RawConn
	call func(fd uintptr) // do, bound once

	b   []byte
	n   int
	err error
}

// newSocket returns nil for what is no plain TCP connection.
func newSocket(nc net.Conn) *socket {
	t, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{raw: raw}
	s.call = s.do
	return s
}

// write writes as much of b as there is room for, perhaps nothing.
func (s *socket) write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	s.b, s.n, s.err = b, 0, nil
	err := s.raw.Control(s.call)
	s.b = nil
	if err != nil {
		return 0, err
	}
	return s.n, s.err
}

// do is the call itself. It cannot block, so that the scheduler need not know.
func (s *socket) do(fd uintptr) {
	for {
		n, _, e := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(&s.b[0])), uintptr(len(s.b)))
		switch e {
		case 0:
			s.n = int(n)
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
		default:
			s.err = e
		}
		return
	}
}
