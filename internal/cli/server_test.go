package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/config"
	"github.com/polylog-mq/polylog/internal/server"
)

// served runs command lines against a server in this process.
type served struct {
	t       *testing.T
	brokers string
}

func serve(t *testing.T) *served {
	t.Helper()
	c := config.Default()
	c.Data.Dir, c.Data.Shards, c.Kafka.Listen, c.AMQP.Listen, c.HTTP.Listen = "data", 2, "127.0.0.1:0", "", ""
	s, err := server.Start(t.Context(), server.Options{Config: c, FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return &served{t, s.KafkaAddress()}
}

func (s *served) run(stdin string, args ...string) (out, errs string, code int) {
	s.t.Helper()
	var o, e bytes.Buffer
	app := &App{Version: "test", In: strings.NewReader(stdin), Out: &o, Err: &e, Environ: []string{"POLYLOG_BROKERS=" + s.brokers}}
	code = app.Run(context.Background(), args)
	return o.String(), e.String(), code
}

// ok runs a command that must succeed, quietly.
func (s *served) ok(stdin string, args ...string) string {
	s.t.Helper()
	out, errs, code := s.run(stdin, args...)
	if code != 0 || errs != "" {
		s.t.Fatalf("polylog %s: exit %d, %s", strings.Join(args, " "), code, errs)
	}
	return out
}

func TestTopics(t *testing.T) {
	s := serve(t)
	if out := s.ok("", "topic", "list", "-o", "json"); out != "[]\n" {
		t.Errorf("no topics: %q", out)
	}
	s.ok("", "topic", "create", "a", "b", "-p", "3", "-c", "retention.ms=1000")
	if out := s.ok("", "topic", "list"); !strings.Contains(out, "a      3            1\n") {
		t.Errorf("list:\n%s", out)
	}
	out := s.ok("", "topic", "describe", "a")
	if !strings.Contains(out, "retention.ms   1000") || !strings.Contains(out, "2           1        0       0     0") {
		t.Errorf("describe:\n%s", out)
	}
	if wide := s.ok("", "topic", "describe", "a", "-o", "wide"); !strings.Contains(wide, "cleanup.policy") || strings.Contains(out, "cleanup.policy") {
		t.Errorf("defaults belong into the wide form alone:\n%s\n%s", out, wide)
	}
	var d topicDetail
	if err := json.Unmarshal([]byte(s.ok("", "topic", "describe", "a", "-o", "json")), &d); err != nil || d.Name != "a" || len(d.Partitions) != 3 {
		t.Errorf("as JSON: %+v, %v", d, err)
	}
	s.ok("", "topic", "delete", "a")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"topic", "describe", "a"}, exitNotFound, "polylog topic list"},
		{[]string{"topic", "create", "b"}, exitRefused, "--if-not-exists"},
		{[]string{"topic", "create", "c", "-c", "no.such.setting=1"}, exitRefused, "INVALID_CONFIG"},
		{[]string{"consume", "a", "-e"}, exitNotFound, "topic a: "},
		{[]string{"group", "describe", "g"}, exitNotFound, "polylog group list"},
		{[]string{"produce", "b", "-p", "7"}, exitFailed, "has no partition 7"},
		{[]string{"consume", "b", "-p", "7"}, exitFailed, "there is no partition 7"},
	} {
		out, errs, code := s.run("x\n", c.args...)
		if code != c.code || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("polylog %s: exit %d, %q, want %d and %q", strings.Join(c.args, " "), code, errs, c.code, c.want)
		}
	}
}

func TestProduceConsume(t *testing.T) {
	s := serve(t)
	s.ok("a\nb\n\n", "produce", "t", "-H", "h=1", "--key", "k")
	for _, c := range []struct{ args, want string }{
		{"-e", "a\nb\n\n"},
		{`-e -f %o:%k=%v%h{,%k:%v};`, "0:k=a,h:1;1:k=b,h:1;2:k=,h:1;"},
		{"-n 2", "a\nb\n"},
		{"-e -o 1", "b\n\n"},
		{"-e -o -1", "\n"},
		{"-e -o +1", "b\n\n"},
		{"-o 0:1", "a\n"},
		{"-o :+2", "a\nb\n"},
		{"-e -o end", ""},
		{"-e -o @-1h", "a\nb\n\n"},
		{"-e -o @2100-01-01", ""},
		{"-e -p 0", "a\nb\n\n"},
		{"-e -o 9", ""},
		{"-o 2:9 -n 1", "\n"},
		{"-o 1:9 -e", "b\n\n"},
		{"-o :9 -e", "a\nb\n\n"},
	} {
		if out := s.ok("", append([]string{"consume", "t"}, strings.Fields(c.args)...)...); out != c.want {
			t.Errorf("consume %s: %q, want %q", c.args, out, c.want)
		}
	}
	s.ok("", "topic", "trim", "t", "--before", "2")
	if _, errs, code := s.run("", "consume", "t", "-e", "-o", "1"); code != exitRefused || !strings.Contains(errs, "(kept: 2 to 3)") {
		t.Errorf("an offset that is gone: exit %d, %s", code, errs)
	}
	if out := s.ok("", "topic", "delete", "t", "--dry-run"); !strings.Contains(out, "1 offset in 1 partition") {
		t.Errorf("dry run: %s", out)
	}
}

func TestProduceFiles(t *testing.T) {
	s := serve(t)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	for path, text := range map[string]string{one: "1\n2\n", two: "3\n4"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.ok("", "produce", "lines", one, two, "-z", "zstd")
	if out := s.ok("", "consume", "lines", "-e"); out != "1\n2\n3\n4\n" {
		t.Errorf("lines: %q", out)
	}
	s.ok("", "produce", "whole", one, two, "--whole", "--acks", "1")
	if out := s.ok("", "consume", "whole", "-e", "-f", "[%v]"); out != "[1\n2\n][3\n4]" {
		t.Errorf("whole: %q", out)
	}
	s.ok("k|\n", "produce", "null", "-k", "|", "-Z")
	if out := s.ok("", "consume", "null", "-e", "-f", "%K %V"); out != "1 -1" {
		t.Errorf("tombstone: %q", out)
	}
	if _, errs, code := s.run("", "produce", "lines", filepath.Join(dir, "three")); code != exitFailed || !strings.Contains(errs, "three") {
		t.Errorf("a missing file: exit %d, %s", code, errs)
	}
}

func TestJSONLinesAgain(t *testing.T) {
	s := serve(t)
	in := "\x00\xff|\xc3(\nkey|\n|v\n"
	s.ok(in, "produce", "a", "-k", "|", "-H", "name=value")
	lines := s.ok("", "consume", "a", "-e", "-f", "json")
	s.ok(lines, "produce", "b", "-f", "json")
	if out := s.ok("", "consume", "b", "-e", "-f", `%k|%v\n`); out != in {
		t.Errorf("came back as %q, was %q", out, in)
	}
}

// TestManyRecords goes through several requests and several batches.
func TestManyRecords(t *testing.T) {
	s := serve(t)
	s.ok("", "topic", "create", "many", "-p", "4")
	const n = 50_000
	in := strings.Repeat(strings.Repeat("x", 99)+"\n", n)
	s.ok(in, "produce", "many", "-z", "lz4")
	if out := s.ok("", "consume", "many", "-e"); len(out) != len(in) {
		t.Errorf("%d bytes came back, want %d", len(out), len(in))
	}
}

// TestWelcome: what to try is written as the program was started.
func TestWelcome(t *testing.T) {
	c := config.Default()
	c.Data.Dir, c.Data.Shards, c.Kafka.Listen, c.AMQP.Listen, c.HTTP.Listen = "data", 2, "127.0.0.1:0", "", ""
	s, err := server.Start(t.Context(), server.Options{Config: c, FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	for _, name := range []string{"", "./bin/polylog"} {
		var out bytes.Buffer
		app := &App{Name: name, Out: &out}
		if err := app.welcome(s, &c); err != nil {
			t.Fatal(err)
		}
		if want := "\n  " + cmp.Or(name, "polylog") + " topic list -b " + s.KafkaAddress() + "\n"; !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %s", want, out.String())
		}
	}
}
