package kafka

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/test/harness"
)

// TestCommandLine walks through the commands as a person would.
func TestCommandLine(t *testing.T) {
	s := harness.Start(t)
	for _, c := range []struct {
		stdin string
		args  []string
		code  int
		want  string // in stdout; in stderr if the code is not 0
	}{
		{"", []string{"topic", "list", "--format", "json"}, 0, "[]"},
		{"", []string{"topic", "create", "orders", "-p", "3", "-c", "retention.ms=3600000"}, 0, "topic orders created"},
		{"", []string{"topic", "create", "orders"}, 5, "TOPIC_ALREADY_EXISTS"},
		{"", []string{"topic", "create", "orders", "--if-not-exists"}, 0, "exists already"},
		{"", []string{"topic", "create", "x", "-c", "no.such=1"}, 5, "INVALID_CONFIG"},
		{"", []string{"topic", "create", "maybe", "--dry-run"}, 0, "would be created"},
		{"", []string{"topic", "list"}, 0, "orders"},
		{"", []string{"topic", "describe", "orders"}, 0, "retention.ms   3600000"},
		{"", []string{"topic", "describe", "orders", "--format", "yaml"}, 0, "name: orders"},
		{"", []string{"topic", "describe", "nothing"}, 4, "'polylog topic list' shows what there is"},
		{"k1\tv1\nk2\tv2\n", []string{"produce", "orders", "-k", "\t", "-H", "a=b"}, 0, ""},
		{"x\n", []string{"produce", "orders", "-p", "9"}, 1, "has no partition 9"},
		{"", []string{"consume", "orders", "-e", "-f", `%k=%v %h{%k:%v}\n`}, 0, "k1=v1 a:b\n"},
		{"", []string{"consume", "orders", "-n", "1", "-o", "start"}, 0, "v"},
		{"", []string{"consume", "nothing", "-e"}, 4, "UNKNOWN_TOPIC_OR_PARTITION"},
		{"", []string{"consume", "orders", "-o", "yesterday"}, 2, "--offset"},
		{"", []string{"group", "list", "--format", "json"}, 0, "[]"},
		{"", []string{"group", "describe", "nobody"}, 4, "GROUP_ID_NOT_FOUND"},
		{"", []string{"topic", "delete", "orders", "--dry-run"}, 0, "2 offsets in 3 partitions"},
		{"", []string{"topic", "delete", "orders"}, 0, "topic orders deleted"},
		{"", []string{"topic", "delete", "orders"}, 4, "UNKNOWN_TOPIC_OR_PARTITION"},
		{"", []string{"topic", "list", "-b", "127.0.0.1:1"}, 3, "'polylog serve' starts a server"},
		{"", []string{"version"}, 0, "polylog"},
		{"", []string{"topics"}, 2, "--help"},
	} {
		out, errs, code := s.CLI(c.stdin, c.args...)
		got := out
		if c.code != 0 {
			got = errs
		}
		if code != c.code || !strings.Contains(got, c.want) {
			t.Errorf("polylog %s: exit %d, want %d with %q\nstdout: %s\nstderr: %s", strings.Join(c.args, " "), code, c.code, c.want, out, errs)
		}
	}
}

// TestRoundTrip: what was consumed as JSON can be produced again, byte for
// byte.
func TestRoundTrip(t *testing.T) {
	s := harness.Start(t)
	in := "\x00\xff\xfe|\xc3(\nkey|value\n|\n"
	run := func(stdin string, args ...string) string {
		t.Helper()
		out, errs, code := s.CLI(stdin, args...)
		if code != 0 {
			t.Fatalf("polylog %v: exit %d\n%s", args, code, errs)
		}
		return out
	}
	run(in, "produce", "a", "-k", "|")
	run(run("", "consume", "a", "-e", "--format", "json"), "produce", "b", "--format", "json")
	if got := run("", "consume", "b", "-e", "-f", `%k|%v\n`); got != in {
		t.Errorf("came back as %q, was %q", got, in)
	}
}

// TestRefusals: each reason not to start says what to do.
func TestRefusals(t *testing.T) {
	s := harness.Start(t)
	occupied := s.Kafka()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	free := []string{"--kafka-listen", "127.0.0.1:0", "--amqp-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"}
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"a second server on the folder", append([]string{"--data-dir", s.Data()}, free...), []string{"data.dir", "in use by another server", "--data-dir"}},
		{"a busy port", []string{"--data-dir", t.TempDir(), "--kafka-listen", occupied, "--http-listen", ""}, []string{"kafka.listen", "another program listens on " + occupied, "--kafka-listen"}},
		{"a file for a folder", append([]string{"--data-dir", filepath.Join(file, "x")}, free...), []string{"data.dir", "--data-dir"}},
		{"open to the world", []string{"--kafka-listen", "0.0.0.0:0"}, []string{"kafka.listen", "--insecure"}},
		{"a setting that does not exist", []string{"--kafka-lisen", "x"}, []string{"--kafka-lisen", "--help"}},
	} {
		_, errs, code := s.CLI("", append([]string{"serve"}, c.args...)...)
		expectMentions(t, c.name, errs, code, c.want...)
	}
}

// expectRefusal starts a server on a folder that must not do.
func expectRefusal(t *testing.T, folder string, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, harness.Binary(t), "serve", "--data-dir", folder, "--kafka-listen", "127.0.0.1:0", "--amqp-listen", "", "--http-listen", "")
	cmd.Stderr = &errs
	_ = cmd.Run()
	expectMentions(t, folder, errs.String(), cmd.ProcessState.ExitCode(), want...)
}

func expectMentions(t *testing.T, what, errs string, code int, want ...string) {
	t.Helper()
	if code <= 0 {
		t.Errorf("%s: exit code %d, want a refusal", what, code)
	}
	for _, w := range want {
		if !strings.Contains(errs, w) {
			t.Errorf("%s: no mention of %q in: %s", what, w, errs)
		}
	}
}
