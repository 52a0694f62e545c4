//go:build !linux

package listen

import "net"

// Socket would read and write without waiting; here no connection has one.
type Socket struct{}

// NewSocket returns nil.
func NewSocket(net.Conn) *Socket { return nil }

// Read is never called.
func (*Socket) Read([]byte) (int, error) { return 0, nil }

// Write is never called.
func (*Socket) Write([]byte) (int, error) { return 0, nil }
