//go:build !linux

package kafka

import "net"

// socket would write without waiting; here no connection has one.
type socket struct{}

func newSocket(net.Conn) *socket { return nil }

func (*socket) write([]byte) (int, error) { return 0, nil }
