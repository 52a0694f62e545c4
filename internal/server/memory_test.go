package server

import (
	"os"
	"runtime/debug"
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
