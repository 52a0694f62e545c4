package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"
)

// FuzzLoad: whatever a file or a variable holds is read or refused, and what
// was read is within its limits.
func FuzzLoad(f *testing.F) {
	f.Add("kafka: {listen: 127.0.0.1:1}\ndata.shards: 3\n", "disk.warn-free")
	f.Add("kafka:\n  listen:\n", "1GiB")
	f.Add("a: &a [*a]\n", "-1")
	f.Fuzz(func(t *testing.T, yaml, value string) {
		path := filepath.Join(t.TempDir(), "polylog.yaml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		AddFlags(fs)
		l, err := Load(fs, []string{"POLYLOG_CONFIG=" + path, "POLYLOG_DISK_WARN_FREE=" + value})
		if err != nil {
			return
		}
		for _, s := range settings {
			if s.check != nil && s.check(load(s.field(&l.Config))) != nil {
				t.Errorf("%s is out of its limits: %v", s.key, load(s.field(&l.Config)))
			}
		}
	})
}
