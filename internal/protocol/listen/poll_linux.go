package listen

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// poll is an epoll instance. The runtime's own poller waits for it as for a
// socket, so that no thread sits in the kernel for it.
type poll struct {
	file *os.File
	raw  syscall.RawConn
}

// interest is what a socket is waited for: once for all that has come, and again
// when more comes (EPOLLET, whose constant is negative on some machines).
const interest = syscall.EPOLLIN | syscall.EPOLLRDHUP | 1<<31

func newPoll() (*poll, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // or os would wait in the kernel
		_ = syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &poll{file: os.NewFile(uintptr(fd), "epoll")}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close()
		return nil, fmt.Errorf("polling sockets: %w", err)
	}
	return p, nil
}

// add has the kernel tell of a socket, by id, when there is something to read, or
// if there is.
func (p *poll) add(s *Socket, id uint64) error {
	return p.control(s, syscall.EPOLL_CTL_ADD, id)
}

// remove undoes add, unless the socket is closed, which does so too.
func (p *poll) remove(s *Socket) { _ = p.control(s, syscall.EPOLL_CTL_DEL, 0) }

func (p *poll) control(s *Socket, op int, id uint64) error {
	e := syscall.EpollEvent{Events: interest, Fd: int32(uint32(id)), Pad: int32(uint32(id >> 32))}
	var refused, gone error
	err := p.raw.Control(func(poll uintptr) {
		gone = s.raw.Control(func(fd uintptr) {
			refused = os.NewSyscallError("epoll_ctl", syscall.EpollCtl(int(poll), op, int(fd), &e))
		})
	})
	return errors.Join(err, gone, refused)
}

// run calls tell for every socket of which the kernel tells, with whether its
// peer has ended the connection, and then read, until close.
func (p *poll) run(tell func(id uint64, ended bool), read func()) {
	events := make([]syscall.EpollEvent, maxTold)
	_ = p.raw.Read(func(fd uintptr) (done bool) { // ends with an error when the file is closed
		for {
			n, err := syscall.EpollWait(int(fd), events, 0)
			if err == syscall.EINTR {
				continue
			}
			for _, e := range events[:max(n, 0)] {
				tell(uint64(uint32(e.Fd))|uint64(uint32(e.Pad))<<32, e.Events&^syscall.EPOLLIN != 0)
			}
			read()
			if n < len(events) {
				return false // what comes from now on wakes the runtime's poller
			}
		}
	})
}

func (p *poll) close() { _ = p.file.Close() }
