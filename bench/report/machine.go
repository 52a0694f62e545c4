package report

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// measureMachine takes about two seconds. A limit that cannot be measured
// stays zero.
func measureMachine(dir string) Machine {
	m := Machine{CPUs: runtime.NumCPU()}
	src, dst := make([]byte, 64<<20), make([]byte, 64<<20)
	copy(dst, src)
	began := time.Now()
	for range 8 {
		copy(dst, src)
	}
	m.MemoryCopyGBs = 8 * float64(len(src)) / time.Since(began).Seconds() / 1e9
	if d := syncWrites(dir, 1<<20, 128); d > 0 {
		m.SyncWriteMBs = float64(1<<20) / d.Seconds() / 1e6
	}
	m.SyncWriteSmall = float64(syncWrites(dir, 4<<10, 256).Microseconds()) / 1e3
	m.LoopbackCopyGBs = loopback()
	return m
}

// syncWrites overwrites a written file sequentially and returns the mean time
// of one write with its fdatasync.
func syncWrites(dir string, size, n int) time.Duration {
	path := filepath.Join(dir, "sync-write")
	f, err := os.Create(path)
	if err != nil {
		return 0
	}
	defer func() { _ = os.Remove(path) }()
	defer func() { _ = f.Close() }()
	buf := make([]byte, size)
	for i := range n {
		if _, err := f.WriteAt(buf, int64(i*size)); err != nil {
			return 0
		}
	}
	if f.Sync() != nil {
		return 0
	}
	began := time.Now()
	for i := range n {
		if _, err := f.WriteAt(buf, int64(i*size)); err != nil {
			return 0
		}
		if unix.Fdatasync(int(f.Fd())) != nil {
			return 0
		}
	}
	return time.Since(began) / time.Duration(n)
}

// loopback returns the speed of a copy through a TCP socket in 10^9 bytes per
// second.
func loopback() float64 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0
	}
	defer func() { _ = l.Close() }()
	const total = 2 << 30
	go func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		buf := make([]byte, 1<<20)
		for range total / len(buf) {
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
	}()
	c, err := l.Accept()
	if err != nil {
		return 0
	}
	defer func() { _ = c.Close() }()
	began := time.Now()
	buf := make([]byte, 1<<20)
	var n int64
	for n < total {
		k, err := c.Read(buf)
		n += int64(k)
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0
		}
	}
	return float64(n) / time.Since(began).Seconds() / 1e9
}
