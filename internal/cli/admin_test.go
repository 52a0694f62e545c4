package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// fields runs a command and returns the words of the line of its answer that
// begins with prefix.
func (s *served) fields(prefix string, args ...string) []string {
	s.t.Helper()
	out := s.ok("", args...)
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, prefix) {
			return strings.Fields(line)
		}
	}
	s.t.Fatalf("polylog %s: no line begins with %q in\n%s", strings.Join(args, " "), prefix, out)
	return nil
}

func TestTopicAlter(t *testing.T) {
	s := serve(t)
	s.ok("", "topic", "create", "a", "-c", "retention.bytes=1000000")
	if out := s.ok("", "topic", "alter", "a", "-c", "retention.ms=5000", "--reset", "retention.bytes", "-p", "3", "--dry-run"); out != "topic a would be changed\n" {
		t.Errorf("dry run: %q", out)
	}
	if out := s.ok("", "topic", "describe", "a"); strings.Contains(out, "retention.ms") || !strings.Contains(out, "retention.bytes") {
		t.Errorf("a dry run changes nothing:\n%s", out)
	}
	s.ok("", "topic", "alter", "a", "-c", "retention.ms=5000", "--reset", "retention.bytes", "-p", "3")
	out := s.ok("", "topic", "describe", "a")
	if !strings.Contains(out, "retention.ms   5000") || strings.Contains(out, "retention.bytes") || !strings.Contains(out, "\n2 ") {
		t.Errorf("after the change:\n%s", out)
	}
	for want, args := range map[string][]string{
		"nothing to change":  {"topic", "alter", "a"},
		"INVALID_CONFIG":     {"topic", "alter", "a", "-c", "retention.ms=soon"},
		"INVALID_PARTITIONS": {"topic", "alter", "a", "-p", "2"},
		"polylog topic list": {"topic", "alter", "b", "-p", "2"},
	} {
		if _, errs, code := s.run("", args...); code == 0 || !strings.Contains(errs, want) {
			t.Errorf("polylog %s: exit %d, %q, want %q", strings.Join(args, " "), code, errs, want)
		}
	}
}

func TestTopicTrim(t *testing.T) {
	s := serve(t)
	s.ok("1\n2\n3\n4\n", "produce", "t")
	if out := s.ok("", "topic", "trim", "t", "--before", "3", "--dry-run"); out != "partition 0: 3 offsets would be deleted, kept from 3\n" {
		t.Errorf("dry run: %q", out)
	}
	if out := s.ok("", "topic", "trim", "t", "--before", "+1"); out != "partition 0: 1 offset deleted, kept from 1\n" {
		t.Errorf("trim: %q", out)
	}
	if out := s.ok("", "consume", "t", "-e"); out != "2\n3\n4\n" {
		t.Errorf("left: %q", out)
	}
	s.ok("", "topic", "trim", "t", "--before", "end")
	if out := s.ok("", "consume", "t", "-e"); out != "" {
		t.Errorf("left: %q", out)
	}
	if _, errs, code := s.run("", "topic", "trim", "t", "--before", "9"); code != exitRefused || !strings.Contains(errs, "partition 0 at offset 9: ") || !strings.Contains(errs, "OFFSET_OUT_OF_RANGE") {
		t.Errorf("beyond the end: exit %d, %q", code, errs)
	}
}

func TestGroupSeek(t *testing.T) {
	s := serve(t)
	s.ok("", "topic", "create", "t", "-p", "2")
	s.ok("1\n2\n3\n4\n", "produce", "t", "-p", "1")
	if _, errs, code := s.run("", "group", "seek", "g", "--to", "start"); code != exitNotFound || !strings.Contains(errs, "--topic") {
		t.Errorf("a group that is not: exit %d, %q", code, errs)
	}
	committed := func() string { return s.fields("t  ", "group", "describe", "g")[2] }
	s.ok("", "group", "seek", "g", "--topic", "t", "--to", "-1", "-p", "1")
	if got := committed(); got != "3" {
		t.Errorf("one before the end: %s", got)
	}
	s.ok("", "group", "seek", "g", "--shift", "-2")
	if got := committed(); got != "1" {
		t.Errorf("two back: %s", got)
	}
	s.ok("", "group", "seek", "g", "--to", "end", "--dry-run")
	if got := committed(); got != "1" {
		t.Errorf("a dry run moves to %s", got)
	}
	s.ok("", "group", "seek", "g", "--shift", "100", "-p", "1")
	if got := committed(); got != "4" {
		t.Errorf("beyond the end: %s", got)
	}
	if _, errs, code := s.run("", "group", "seek", "g", "--to", "start", "--shift", "1"); code != exitUsage || !strings.Contains(errs, "one of --to and --shift") {
		t.Errorf("both: exit %d, %q", code, errs)
	}
	s.ok("", "group", "delete", "g", "--topic", "t")
	s.ok("", "group", "seek", "g", "--topic", "t", "--to", "start")
	s.ok("", "group", "delete", "g")
	if _, _, code := s.run("", "group", "describe", "g"); code != exitNotFound {
		t.Errorf("describing a deleted group: exit %d", code)
	}
}

func TestLag(t *testing.T) {
	s := serve(t)
	s.ok("100 a\n200 b\n300 c\n", "produce", "t", "-f", `%d %v\n`)
	s.ok("", "group", "seek", "g", "--topic", "t", "--to", "1")
	var d groupDetail
	if err := json.Unmarshal([]byte(s.ok("", "group", "describe", "g", "-o", "json")), &d); err != nil {
		t.Fatal(err)
	}
	if d.Lag != 2 || d.LagSeconds == nil || *d.LagSeconds < 1e9 {
		t.Errorf("a record of 1970 waits: lag %d, %v s", d.Lag, d.LagSeconds)
	}
	s.ok("", "group", "seek", "g", "--to", "end")
	if err := json.Unmarshal([]byte(s.ok("", "group", "describe", "g", "-o", "json")), &d); err != nil {
		t.Fatal(err)
	}
	if d.Lag != 0 || d.LagSeconds == nil || *d.LagSeconds != 0 {
		t.Errorf("nothing waits: lag %d, %v s", d.Lag, d.LagSeconds)
	}
}

func TestConsumeInGroup(t *testing.T) {
	s := serve(t)
	s.ok("1\n2\n3\n", "produce", "t")
	if out := s.ok("", "consume", "t", "-g", "g", "-n", "2"); out != "1\n2\n" {
		t.Errorf("first: %q", out)
	}
	if out := s.ok("", "consume", "t", "-g", "g", "-e"); out != "3\n" {
		t.Errorf("what is left: %q", out)
	}
	if out := s.ok("", "consume", "t", "-g", "h", "-o", "end", "-e"); out != "" {
		t.Errorf("a new group from the end: %q", out)
	}
	if _, errs, code := s.run("", "consume", "t", "-g", "g", "-p", "0"); code != exitUsage || !strings.Contains(errs, "--partition") {
		t.Errorf("both: exit %d, %q", code, errs)
	}
}

// lines passes on what is written to it, line by line.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		l <- strings.TrimSuffix(line, "\n")
	}
	return len(b), nil
}

// TestGroupOfTwo: a second member takes over half of the partitions, and all of
// them when the first goes.
func TestGroupOfTwo(t *testing.T) {
	s := serve(t)
	s.ok("", "topic", "create", "t", "-p", "4")
	begin := func(ctx context.Context, out lines) {
		var errs bytes.Buffer
		app := &App{Out: out, Err: &errs, In: strings.NewReader(""), Environ: []string{"POLYLOG_BROKERS=" + s.brokers}}
		if code := app.Run(ctx, []string{"consume", "t", "-g", "g", "-f", `%v\n`}); code != exitInterrupted {
			t.Errorf("a member ends with %d: %s", code, errs.String())
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	first, cancelFirst := context.WithCancel(t.Context())
	second, cancelSecond := context.WithCancel(t.Context())
	defer cancelFirst()
	defer cancelSecond()
	a, b := make(lines, 64), make(lines, 64)
	wg.Go(func() { begin(first, a) })
	next := 0
	// round writes a record into every partition and counts who gets them.
	round := func() (fromA, fromB int) {
		for p := range 4 {
			s.ok(fmt.Sprintln(next), "produce", "t", "-p", fmt.Sprint(p))
			next++
		}
		for range 4 {
			select {
			case <-a:
				fromA++
			case <-b:
				fromB++
			case <-t.Context().Done():
				return
			}
		}
		return fromA, fromB
	}
	if fromA, _ := round(); fromA != 4 {
		t.Fatalf("alone, the first got %d of 4", fromA)
	}
	wg.Go(func() { begin(second, b) })
	for fromA, fromB := round(); fromA != 2 || fromB != 2; fromA, fromB = round() {
		if fromA+fromB != 4 {
			t.Fatalf("%d and %d of 4", fromA, fromB)
		}
	}
	cancelFirst()
	for _, fromB := round(); fromB != 4; _, fromB = round() {
	}
}

func TestCompletion(t *testing.T) {
	s := serve(t)
	s.ok("", "topic", "create", "orders")
	s.ok("", "group", "seek", "billing", "--topic", "orders", "--to", "start")
	for want, args := range map[string][]string{
		"orders\n":  {"__complete", "topic", "describe", ""},
		"billing\n": {"__complete", "group", "describe", ""},
		"zstd\n":    {"__complete", "produce", "orders", "--compress", ""},
		"orders\n:": {"__complete", "group", "seek", "billing", "--topic", ""},

		"retention.ms=\n": {"__complete", "topic", "create", "x", "--config", ""},
		"retention.ms\n":  {"__complete", "topic", "alter", "orders", "--reset", ""},
	} {
		out, _, code := s.run("", args...)
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d, %q, want %q", strings.Join(args, " "), code, out, want)
		}
	}
}

func TestBench(t *testing.T) {
	s := serve(t)
	var r benchResult
	if err := json.Unmarshal([]byte(s.ok("", "bench", "-d", "20ms", "-c", "2", "-o", "json")), &r); err != nil {
		t.Fatal(err)
	}
	if r.Produce.Records == 0 || r.Consume.Records != r.Produce.Records || r.Ack.Records == 0 || r.Arrive.Records != r.Ack.Records {
		t.Errorf("%+v", r)
	}
	if out := s.ok("", "topic", "list", "-o", "json"); out != "[]\n" {
		t.Errorf("the topic is left behind: %s", out)
	}
}
