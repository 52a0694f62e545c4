package server

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
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

// pace sees to it that the garbage that a heap may grow by before it is collected
// is about garbageBytes, or as much as there is to be looked through, but not as
// much as is in use, which is Go's rule: most of that are buffers, which cost the
// collector nothing, so that to collect earlier is cheap. Where little is in use
// to collect later saves something. GOGC, where set, counts more.
func pace(env string) {
	if env == "" {
		pacer()
	}
}

// pacer begins it once in a process.
var pacer = sync.OnceFunc(func() { afterCollection(&pacing{percent: 100}) })

// pacing is the percentage of what is in use, by which the collector goes.
type pacing struct{ percent int }

// afterCollection adjusts the pace when a collection has ended, and after each
// one that follows: the collector finds the mark, which nobody holds, every time.
func afterCollection(p *pacing) {
	type mark struct{ _ [64]byte }
	runtime.AddCleanup(new(mark), func(p *pacing) {
		p.adjust(percentFor(inUse()))
		afterCollection(p)
	}, p)
}

// adjust sets the percentage anew if it is off by more than an eighth.
func (p *pacing) adjust(want int) {
	if d := want - p.percent; max(d, -d) > p.percent/8 {
		p.percent = want
		debug.SetGCPercent(want)
	}
}

// percentFor returns how much garbage there may be, in percent of the bytes that
// are in use, of which the collector must look through scan.
func percentFor(live, scan uint64) int {
	return int(min(max(100*max(garbageBytes, scan)/max(live, 1), leastGarbage), mostGarbage))
}

// inUse returns the bytes of the heap that the last collection found in use, and
// how many of them may hold pointers.
func inUse() (live, scan uint64) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}
	metrics.Read(sample)
	for i, to := range []*uint64{&live, &scan} {
		if sample[i].Value.Kind() == metrics.KindUint64 {
			*to = sample[i].Value.Uint64()
		}
	}
	return live, scan
}
