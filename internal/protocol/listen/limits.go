package listen

import "time"

const (
	// MaxConnections is how many connections of a protocol are served at a time;
	// one more is closed at once.
	MaxConnections = 10_000
	// acceptPause is how long nothing is accepted after the sockets have run out.
	acceptPause = 100 * time.Millisecond
	// handshakeTime is how long a client may take for the TLS handshake.
	handshakeTime = 10 * time.Second
	// maxPEM bounds a file of certificates or keys, in bytes.
	maxPEM = 4 << 20

	// pollBuffer is how much a Poller reads from a socket at a time, in bytes;
	// one buffer serves all connections of one of its goroutines.
	pollBuffer = 128 << 10
	// maxTold is of how many sockets the kernel tells at a time.
	maxTold = 128
	// manyLone is after how many times in a row that there was one socket to read
	// it counts as alone.
	manyLone = 32
)
