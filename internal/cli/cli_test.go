package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// run executes a command line that needs no server.
func run(t *testing.T, environ []string, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	app := &App{Version: "v1.2.3", In: strings.NewReader(""), Out: &o, Err: &e, Environ: environ}
	code = app.Run(context.Background(), args)
	return o.String(), e.String(), code
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string // in stdout, or in stderr if the code is not 0
	}{
		{nil, 0, "polylog serve"},
		{[]string{"--help"}, 0, "One durable log."},
		{[]string{"version"}, 0, "polylog v1.2.3 (go"},
		{[]string{"version", "--format", "json"}, 0, `"version": "v1.2.3"`},
		{[]string{"version", "-o", "yaml"}, 0, "version: v1.2.3"},
		{[]string{"version", "-o", "xml"}, exitUsage, `there is no format "xml"`},
		{[]string{"version", "now"}, exitUsage, "'polylog version --help' tells more"},
		{[]string{"topics"}, exitUsage, "there is no 'polylog topics'; did you mean 'polylog topic'?"},
		{[]string{"topic"}, 0, "create"},
		{[]string{"topic", "make"}, exitUsage, "there is no 'polylog topic make'"},
		{[]string{"topic", "create"}, exitUsage, "NAME..."},
		{[]string{"topic", "list", "orders"}, exitUsage, "takes no arguments"},
		{[]string{"topic", "create", "x", "-c", "novalue"}, exitUsage, "not name=value"},
		{[]string{"produce", "x", "-z", "rar"}, exitUsage, `--compress "rar"`},
		{[]string{"produce", "x", "--acks", "2"}, exitUsage, `--acks "2"`},
		{[]string{"produce", "x", "-f", "%k%v"}, exitUsage, "cannot be told apart"},
		{[]string{"produce", "x", "-f", "%v", "-k", ":"}, exitUsage, "exclude each other"},
		{[]string{"consume", "x", "-o", "noon"}, exitUsage, `--offset "noon"`},
		{[]string{"consume", "x", "-f", "%q"}, exitUsage, "%q is not known"},
		{[]string{"serve", "--kafka-lisen", "x"}, exitUsage, "did you mean --kafka-listen?"},
		{[]string{"serve", "--kafka-listen", "0.0.0.0:9092"}, exitUsage, "--insecure"},
		{[]string{"topic", "list", "-b", "127.0.0.1:1", "--timeout", "1s"}, exitUnreachable, "'polylog serve' starts a server"},
		{[]string{"debug", "wal", "dump", "/nowhere.wal"}, exitFailed, "/nowhere.wal"},
		{[]string{"debug", "wal", "dump", t.TempDir()}, exitUsage, "name the files in it: "},
	} {
		out, errs, code := run(t, nil, c.args...)
		got := out
		if c.code != 0 {
			got = errs
		}
		if code != c.code || !strings.Contains(got, c.want) {
			t.Errorf("polylog %s: exit %d, want %d with %q\nstdout: %s\nstderr: %s", strings.Join(c.args, " "), code, c.code, c.want, out, errs)
		}
		if code != 0 && out != "" {
			t.Errorf("polylog %s: an error leaves %q on stdout", strings.Join(c.args, " "), out)
		}
	}
}

func TestBrokersFromTheEnvironment(t *testing.T) {
	_, errs, code := run(t, []string{"POLYLOG_BROKERS=127.0.0.1:2"}, "topic", "list", "--timeout", "1s")
	if code != exitUnreachable || !strings.Contains(errs, "127.0.0.1:2") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestConfigCommands(t *testing.T) {
	environ := []string{"POLYLOG_KAFKA_LISTEN=127.0.0.1:19092"}
	out, _, code := run(t, environ, "config", "print", "--log-level", "debug")
	for _, want := range []string{"127.0.0.1:19092", "env POLYLOG_KAFKA_LISTEN", "flag --log-level", "default"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("config print: exit %d, no mention of %q in\n%s", code, want, out)
		}
	}
	out, errs, code := run(t, environ, "config", "check")
	if code != 0 || out != "the settings are good\n" {
		t.Errorf("config check: exit %d, %s%s", code, out, errs)
	}
	_, errs, code = run(t, []string{"POLYLOG_LOG_LEVEL=loud", "POLYLOG_DATA_SHARDS=0"}, "config", "check")
	for _, want := range []string{"POLYLOG_LOG_LEVEL", "POLYLOG_DATA_SHARDS", "config print"} {
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("config check: exit %d, no mention of %q in\n%s", code, want, errs)
		}
	}
}

// TestPrintedConfigIsAFile: what config print writes as YAML is read back as
// the same settings.
func TestPrintedConfigIsAFile(t *testing.T) {
	printed, _, code := run(t, []string{"POLYLOG_KAFKA_LISTEN=127.0.0.1:19092", "POLYLOG_DISK_WARN_FREE=3GiB"}, "config", "print", "-o", "yaml")
	if code != 0 {
		t.Fatalf("exit %d", code)
	}
	path := filepath.Join(t.TempDir(), "polylog.yaml")
	if err := os.WriteFile(path, []byte(printed), 0o600); err != nil {
		t.Fatal(err)
	}
	again, errs, code := run(t, nil, "config", "print", "--config", path)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if named, _, _ := run(t, nil, "config", "print", path); named != again {
		t.Errorf("by its name alone:\n%s\nwith --config:\n%s", named, again)
	}
	if out, errs, code := run(t, nil, "config", "check", path); code != 0 {
		t.Errorf("config check: exit %d, %s%s", code, out, errs)
	}
	for _, want := range []string{"127.0.0.1:19092", "3GiB", "file " + path} {
		if !strings.Contains(again, want) {
			t.Errorf("no mention of %q in\n%s", want, again)
		}
	}
}
