package server

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// limitMemory tells the garbage collector about the memory limit of the
// container that the process runs in, so that the heap is collected harder
// before the kernel ends the process. GOMEMLIMIT, where set, was obeyed
// already.
func limitMemory(readFile func(string) ([]byte, error), env string) {
	if env != "" {
		return
	}
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := readFile(path)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && n > 0 && n < 1<<50 { // "max", or a number that stands for it
			debug.SetMemoryLimit(int64(float64(n) * memoryShare))
		}
		return
	}
}

func limitMemoryOfContainer() { limitMemory(os.ReadFile, os.Getenv("GOMEMLIMIT")) }
