package report

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is what the run's machine can do at best. Speeds of synced writes are
// into a file that was written before, medians.
type Machine struct {
	CPUs            int     `json:"cpus"`
	MemoryCopyGBs   float64 `json:"memory_copy_gb_per_s"`
	LoopbackCopyGBs float64 `json:"loopback_copy_gb_per_s"`
	SyncWriteMBs    float64 `json:"sync_write_1mib_mb_per_s"`
	SyncWriteSmall  float64 `json:"sync_write_4kib_ms"`
	// The same past the page cache.
	DirectWriteMBs   float64 `json:"direct_write_1mib_mb_per_s"`
	DirectWriteSmall float64 `json:"direct_write_4kib_ms"`
}

// String names the machine's limits in one line.
func (m Machine) String() string {
	return fmt.Sprintf("%s/%s, %d CPUs; memory copy %.1f GB/s, loopback copy %.1f GB/s; 1 MiB write and fdatasync %.0f MB/s, direct %.0f; 4 KiB %.2f ms, direct %.2f",
		runtime.GOOS, runtime.GOARCH, m.CPUs, m.MemoryCopyGBs, m.LoopbackCopyGBs, m.SyncWriteMBs, m.DirectWriteMBs, m.SyncWriteSmall, m.DirectWriteSmall)
}

// write is the faster way of writing much, in MB/s, smallSync the faster one of
// writing little, in ms.
func (m *Machine) write() float64 { return max(m.SyncWriteMBs, m.DirectWriteMBs) }

func (m *Machine) smallSync() float64 {
	if m.DirectWriteSmall > 0 {
		return min(m.SyncWriteSmall, m.DirectWriteSmall)
	}
	return m.SyncWriteSmall
}

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
	for _, direct := range []bool{false, true} {
		var speed float64
		if d := syncWrites(dir, 1<<20, 128, direct); d > 0 {
			speed = float64(1<<20) / d.Seconds() / 1e6
		}
		small := float64(syncWrites(dir, 4<<10, 512, direct).Microseconds()) / 1e3
		if direct {
			m.DirectWriteMBs, m.DirectWriteSmall = speed, small
		} else {
			m.SyncWriteMBs, m.SyncWriteSmall = speed, small
		}
	}
	m.LoopbackCopyGBs = loopback()
	return m
}

// syncWrites overwrites a written file sequentially and returns the median time
// of one write with its sync: fdatasync, or, direct, past the page cache.
func syncWrites(dir string, size, n int, direct bool) time.Duration {
	path := filepath.Join(dir, "sync-write")
	if os.WriteFile(path, make([]byte, size*n), 0o644) != nil {
		return 0
	}
	defer func() { _ = os.Remove(path) }()
	flags := os.O_RDWR
	if direct {
		flags |= unix.O_DIRECT | unix.O_DSYNC
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	buf, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON) // aligned
	if err != nil || f.Sync() != nil {
		return 0
	}
	defer func() { _ = unix.Munmap(buf) }()
	times := make([]time.Duration, 0, n)
	for i := range n {
		began := time.Now()
		if _, err := f.WriteAt(buf, int64(i*size)); err != nil {
			return 0
		}
		if !direct && unix.Fdatasync(int(f.Fd())) != nil {
			return 0
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	return times[n/2]
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
