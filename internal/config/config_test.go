package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// loadWith loads a configuration from the text of a file ("" for none), an
// environment and a command line.
func loadWith(t *testing.T, yaml string, environ []string, args ...string) (*Loaded, error) {
	t.Helper()
	if yaml != "" {
		path := filepath.Join(t.TempDir(), "polylog.yaml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	return Load(fs, environ)
}

func mustLoad(t *testing.T, yaml string, environ []string, args ...string) *Loaded {
	t.Helper()
	l, err := loadWith(t, yaml, environ, args...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestDefaults(t *testing.T) {
	l := mustLoad(t, "", nil)
	if l.Config != Default() {
		t.Errorf("got %+v, want the defaults", l.Config)
	}
	for _, v := range l.Values() {
		if v.Origin != "default" {
			t.Errorf("%s comes from %s", v.Key, v.Origin)
		}
	}
}

func TestLaterSourcesWin(t *testing.T) {
	file := "kafka:\n  listen: 127.0.0.1:1\n  default-partitions: 3\ndata.dir: fromfile\nlog: {level: debug}\n"
	l := mustLoad(t, file, []string{"POLYLOG_KAFKA_LISTEN=127.0.0.1:2", "POLYLOG_DATA_DIR=fromenv", "HOME=/"},
		"--kafka-listen", "127.0.0.1:3")
	want := map[string]struct{ value, origin string }{
		"kafka.listen":             {"127.0.0.1:3", "flag --kafka-listen"},
		"data.dir":                 {"fromenv", "env POLYLOG_DATA_DIR"},
		"log.level":                {"debug", "file "},
		"http.listen":              {"localhost:15672", "default"},
		"kafka.auto-create-topics": {"true", "default"},
	}
	for _, v := range l.Values() {
		w, ok := want[v.Key]
		if ok && (w.value != show(v.Value) || !strings.HasPrefix(v.Origin, w.origin)) {
			t.Errorf("%s = %v from %q, want %v", v.Key, v.Value, v.Origin, w)
		}
	}
	if l.Kafka.DefaultPartitions != 3 {
		t.Errorf("default-partitions = %d, want 3", l.Kafka.DefaultPartitions)
	}
}

// TestOneMechanicalName gives every setting a value by each of its names.
func TestOneMechanicalName(t *testing.T) {
	values := map[string]string{
		"string": "x", "bool": "true", "int": "7", "size": "3MiB", "duration": "9s",
	}
	special := map[string]string{
		"kafka.listen": "127.0.0.1:7", "amqp.listen": "localhost:7", "http.listen": "[::1]:7", "kafka.advertise": "host:7", "kafka.tls-advertise": "host:7",
		"kafka.tls-listen": "127.0.0.1:8", "amqp.tls-listen": "127.0.0.1:8", "http.tls-listen": "127.0.0.1:8", "amqp.tls-login-from": "common_name", "amqp.product-version": "4.0.5",
		"log.level": "error", "log.format": "json", "kafka.auto-create-topics": "false", "disk.warn-free": "3GiB",
	}
	seen := map[string]string{}
	for _, s := range settings {
		var c Config
		value, ok := special[s.key]
		if !ok {
			value = values[newFlagValue(s.field(&c)).Type()]
		}
		env, flag := envName(s.key), flagName(s.key)
		for _, name := range []string{env, flag} {
			if other := seen[name]; other != "" {
				t.Errorf("%s and %s share the name %s", s.key, other, name)
			}
			seen[name] = s.key
		}
		section, leaf, nested := strings.Cut(s.key, ".")
		yaml := section + ": " + quote(value) + "\n"
		if nested {
			yaml = section + ":\n  " + leaf + ": " + quote(value) + "\n"
		}
		var needs []string // by the setting
		for _, other := range []string{"tls-listen=localhost:1", "tls-cert=x", "tls-key=x", "tls-client-ca=x"} {
			protocol, name, _ := strings.Cut(s.key, ".")
			if strings.HasPrefix(name, "tls-") && !strings.HasPrefix(other, name+"=") {
				needs = append(needs, "--"+protocol+"-"+other)
			}
		}
		for way, l := range map[string]*Loaded{
			"nested file": mustLoad(t, yaml, nil, needs...),
			"dotted file": mustLoad(t, s.key+": "+quote(value)+"\n", nil, needs...),
			"environment": mustLoad(t, "", []string{env + "=" + value}, needs...),
			"flag":        mustLoad(t, "", nil, append(needs, "--"+flag+"="+value)...),
		} {
			if got := show(load(s.field(&l.Config))); got != value {
				t.Errorf("%s by %s: got %q, want %q", s.key, way, got, value)
			}
		}
	}
}

func quote(s string) string { return `"` + s + `"` }

func show(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case time.Duration:
		return v.String()
	case Size:
		return v.String()
	case bool:
		if v {
			return "true"
		}
		return "false"
	case int:
		return Size(v).String()[:len(Size(v).String())-1]
	}
	return "?"
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name, yaml string
		environ    []string
		args       []string
		want       string
	}{
		{"unknown key", "kafka:\n  lisen: x\n", nil, nil, "there is no setting kafka.lisen; did you mean kafka.listen?"},
		{"unknown key in a dotted file", "kafka.listne: x\n", nil, nil, "did you mean kafka.listen?"},
		{"forgotten section", "auto-create-topics: false\n", nil, nil, "did you mean kafka.auto-create-topics?"},
		{"nothing near", "zookeeper.connect: x\n", nil, nil, "there is no setting zookeeper.connect"},
		{"reserved for later", "redis.listen: \"\"\n", nil, nil, "there is no setting redis.listen"},
		{"no value", "kafka.listen:\n", nil, nil, `kafka.listen has no value; write "" for an empty one`},
		{"not YAML", "kafka: [\n", nil, nil, "polylog.yaml"},
		{"number", "data.shards: many\n", nil, nil, `data.shards: "many" is not a whole number`},
		{"range", "", nil, []string{"--data-shards=0"}, "flag --data-shards: data.shards: must lie between 1 and 1024"},
		{"size", "kafka.compaction-memory: 1KiB", nil, nil, "must lie between 1MiB and 64GiB"},
		{"word", "", []string{"POLYLOG_LOG_LEVEL=loud"}, nil, "env POLYLOG_LOG_LEVEL: log.level: must be one of debug, info, warn, error"},
		{"flag value", "", nil, []string{"--disk-warn-free=lots"}, `"lots" is not a size`},
		{"duration", "kafka.group-initial-rebalance-delay: 3\n", nil, nil, "is not a duration"},
		{"a long delay", "kafka.group-initial-rebalance-delay: 2h\n", nil, nil, "must be at most 1h0m0s"},
		{"address", "kafka.listen: localhost\n", nil, nil, "is not an address"},
		{"port", "kafka.listen: localhost:70000\n", nil, nil, "is not a port"},
		{"advertised port 0", "kafka.advertise: host:0\n", nil, nil, "clients can connect to"},
		{"all addresses", "kafka.listen: :9092\n", nil, nil, "kafka.listen: :9092 can be reached from other machines"},
		{"no certificate", "", nil, []string{"--amqp-tls-listen=:1"}, "amqp.tls-cert: a listener with TLS needs it; name the file with --amqp-tls-cert"},
		{"no key", "", nil, []string{"--http-tls-listen=127.0.0.1:1", "--http-tls-cert=x"}, "http.tls-key: a listener with TLS needs it"},
		{"a certificate for nothing", "", nil, []string{"--kafka-tls-cert=x"}, "kafka.tls-cert: kafka listens with TLS nowhere; give it an address with --kafka-tls-listen"},
		{"authorities for nothing", "http.tls-client-ca: x\n", nil, nil, "http.tls-client-ca: http listens with TLS nowhere"},
		{"an address to tell nobody", "", nil, []string{"--kafka-tls-advertise=a:1"}, "kafka.tls-advertise: kafka listens with TLS nowhere"},
		{"certificates that none are asked for", "", nil, []string{"--amqp-tls-login-from=common_name"}, "--amqp-tls-client-ca"},
		{"no version", "", nil, []string{"--amqp-product-version=4.x"}, `amqp.product-version: "4.x" is not a version`},
		{"encrypted and open to everybody", "", nil, []string{"--kafka-tls-listen=:1", "--kafka-tls-cert=x", "--kafka-tls-key=x"}, "kafka.tls-listen: :1 can be reached"},
		{"a part of a certificate", "", nil, []string{"--amqp-tls-login-from=serial"}, "must be one of none, distinguished_name, common_name"},
		{"a public address", "", nil, []string{"--http-listen=10.0.0.1:80"}, "http.listen: 10.0.0.1:80 can be reached"},
		{"thresholds crossed", "disk: {warn-free: 1MiB, refuse-free: 2MiB}\n", nil, nil, "the warning would come too late"},
		{"no such file", "", []string{"POLYLOG_CONFIG=/nowhere/polylog.yaml"}, nil, "/nowhere/polylog.yaml: no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := loadWith(t, c.yaml, c.environ, c.args...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to mention %q", err, c.want)
			}
		})
	}
}

func TestEverythingWrongIsSaid(t *testing.T) {
	_, err := loadWith(t, "kafka.lisen: x\nlog.level: loud\n", []string{"POLYLOG_DATA_SHARDS=x"})
	for _, want := range []string{"kafka.listen", "log.level", "POLYLOG_DATA_SHARDS"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not mention %s: %v", want, err)
		}
	}
}

func TestInsecure(t *testing.T) {
	l := mustLoad(t, "kafka.listen: :9092\n", nil, "--insecure")
	if l.Kafka.Listen != ":9092" || !l.Insecure {
		t.Errorf("got %+v", l.Config)
	}
	mustLoad(t, "kafka.listen: \"\"\nhttp.listen: \"\"\n", nil)                                  // off is not open
	mustLoad(t, "amqp.listen: :5672\n", nil)                                                     // users log in
	mustLoad(t, "kafka: {tls-listen: \":1\", tls-cert: x, tls-key: x, tls-client-ca: x}\n", nil) // by certificate
}

func TestStrayVariables(t *testing.T) {
	l := mustLoad(t, "", []string{"POLYLOG_KAFKA_LISTN=x", "POLYLOG_SERVICE_HOST=10.0.0.1"})
	if len(l.Warnings) != 1 || !strings.Contains(l.Warnings[0], "did you mean POLYLOG_KAFKA_LISTEN?") {
		t.Errorf("warnings: %q", l.Warnings)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "17": 17, "17B": 17, "1k": 1024, "64KiB": 64 << 10, "64kb": 64 << 10, "1.5 GiB": 3 << 29, "2TiB": 2 << 40,
	} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
		if again, err := ParseSize(got.String()); err != nil || again != got {
			t.Errorf("%q does not survive being shown as %q", text, got)
		}
	}
	for _, text := range []string{"", "GiB", "1XB", "-1", "1e300GiB", "5%", "NaN"} {
		if n, err := ParseSize(text); err == nil {
			t.Errorf("%q is read as %v", text, n)
		}
	}
}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{
		"kafka.listen": "kafka.listen", "kakfa.listen": "kafka.listen", "dir": "data.dir", "xyz": "",
	} {
		if got := nearest(word, asKey); got != want {
			t.Errorf("nearest to %q: %q, want %q", word, got, want)
		}
	}
}
