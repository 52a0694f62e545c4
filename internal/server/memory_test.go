package server

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

func TestMemoryLimitOfContainer(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for _, c := range []struct {
		name, v2, v1, env string
		want              int64
	}{
		{"a container", "104857600\n", "", "", 94371840},
		{"an old container", "", "104857600\n", "", 94371840},
		{"no limit", "max\n", "", "", before},
		{"no limit, the old way", "", "9223372036854771712\n", "", before},
		{"no container", "", "", "", before},
		{"GOMEMLIMIT counts more", "104857600\n", "", "1GiB", before},
	} {
		debug.SetMemoryLimit(before)
		limitMemory(func(path string) ([]byte, error) {
			text := map[string]string{"/sys/fs/cgroup/memory.max": c.v2, "/sys/fs/cgroup/memory/memory.limit_in_bytes": c.v1}[path]
			if text == "" {
				return nil, os.ErrNotExist
			}
			return []byte(text), nil
		}, c.env)
		if got := debug.SetMemoryLimit(-1); got != c.want {
			t.Errorf("%s: limit %d, want %d", c.name, got, c.want)
		}
	}
}

func TestPercentOfGarbage(t *testing.T) {
	for _, c := range []struct {
		live, scan uint64
		want       int
	}{
		{0, 0, 200},
		{4 << 20, 2 << 20, 200},
		{24 << 20, 4 << 20, 100},
		{96 << 20, 8 << 20, 25},
		{96 << 20, 48 << 20, 50},
		{96 << 20, 96 << 20, 100},
		{1 << 30, 1 << 20, 20},
	} {
		if got := percentFor(c.live, c.scan); got != c.want {
			t.Errorf("%d in use, %d to look through: %d %%, want %d", c.live, c.scan, got, c.want)
		}
	}
}

// The pace follows what is in use, collection after collection.
func TestPaceOfTheCollector(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	afterCollection(&pacing{percent: 100})
	percent := func() uint64 {
		sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	wait := func(want func(uint64) bool) {
		t.Helper()
		for i := 0; !want(percent()); i++ {
			if i == 1000 {
				t.Fatalf("%d %% after %d collections", percent(), i)
			}
			runtime.GC()
			runtime.Gosched()
		}
	}
	buffer := make([]byte, 200<<20)
	wait(func(p uint64) bool { return p <= 30 })
	runtime.KeepAlive(buffer)
	wait(func(p uint64) bool { return p >= 60 })
}
