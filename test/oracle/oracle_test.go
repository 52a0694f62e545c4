package oracle

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/test/harness"
)

var (
	record = flag.Bool("record", false, "ask RabbitMQ, and write down what it answers")
	count  = flag.Int("random", 0, "hold so many random dialogues with RabbitMQ and with Polylog")
	seed   = flag.Uint64("seed", 1, "the first random dialogue's seed")
	only   = flag.String("only", "", "only dialogues whose name contains this")
	// together: they wait most of the time. RabbitMQ loses one of two vhosts whose
	// tracing begins at the same time: to record such, one.
	together = flag.Int("together", 24, "how many dialogues are held at once")
)

// files returns the dialogues, by file.
func files(t *testing.T) map[string][]*dialogue {
	t.Helper()
	names, err := filepath.Glob("testdata/[0-9]*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	all := map[string][]*dialogue{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if all[name], err = parse(string(text)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if back := write(all[name]); !*record && back != string(text) {
			t.Errorf("%s is not in the form that -record writes", name)
		}
	}
	return all
}

// each calls fn for every dialogue, several at once, with a number of its own.
func each(all map[string][]*dialogue, fn func(file string, d *dialogue, n int)) {
	var wg sync.WaitGroup
	places := make(chan struct{}, *together)
	n := 0
	for file, ds := range all {
		for _, d := range ds {
			n++
			if !strings.Contains(d.name, *only) {
				continue
			}
			places <- struct{}{}
			mine := n
			wg.Go(func() {
				fn(file, d, mine)
				<-places
			})
		}
	}
	wg.Wait()
}

// TestRecord asks RabbitMQ anew; without -record it is skipped.
func TestRecord(t *testing.T) {
	if !*record {
		t.Skip("-record asks RabbitMQ")
	}
	address, api, stop, err := startRabbit(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	all := files(t)
	each(all, func(_ string, d *dialogue, n int) {
		r := &run{address: address, api: api, prefix: fmt.Sprintf("o%d-", n), patience: 10 * time.Second, quiet: 400 * time.Millisecond}
		for i := range d.steps {
			d.steps[i].answers = nil
		}
		answers, err := r.hold(d, false)
		if err != nil {
			t.Errorf("%s: %v", d.name, err)
			return
		}
		for i := range answers {
			d.steps[i].answers = answers[i]
		}
	})
	for file, ds := range all {
		if err := os.WriteFile(file, []byte(write(ds)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRandom makes dialogues up with RabbitMQ and holds them with Polylog;
// without -random it is skipped. A failure names the seed that repeats it.
func TestRandom(t *testing.T) {
	if *count == 0 {
		t.Skip("-random N asks RabbitMQ")
	}
	address, api, stop, err := startRabbit(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	s := harness.Start(t)
	var ds []*dialogue
	for i := range *count {
		ds = append(ds, &dialogue{name: fmt.Sprintf("go test ./oracle -run TestRandom -random 1 -seed %d", *seed+uint64(i))})
	}
	differ := 0
	var mu sync.Mutex
	each(map[string][]*dialogue{"": ds}, func(_ string, d *dialogue, n int) {
		r := &run{address: address, api: api, prefix: fmt.Sprintf("r%d-", n), patience: 5 * time.Second, quiet: 150 * time.Millisecond}
		said, err := newRandom(*seed+uint64(n-1)).dialogue(r, d.name)
		if err != nil {
			t.Errorf("%s: RabbitMQ: %v", d.name, err)
			return
		}
		differs, err := hold(s, said, n)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Errorf("%s: %v", d.name, err)
		} else if differs != "" {
			differ++
			t.Errorf("%s\n%s\nin\n%s", d.name, differs, write([]*dialogue{said}))
		}
	})
	t.Logf("%d random dialogues, %d differ", *count, differ)
}

// differences reads the dialogues in which Polylog is meant to differ: file and
// name, and the reason.
func differences(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	meant := map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, " -- ")
		if !ok {
			t.Fatalf("differences.txt: %q is not FILE: NAME -- REASON", line)
		}
		meant[name] = reason
	}
	return meant
}

// TestDialogues has Polylog take RabbitMQ's part.
func TestDialogues(t *testing.T) {
	if *record {
		t.Skip("recording")
	}
	s := harness.Start(t)
	if s.Address("amqp") == "" {
		t.Skip("this server does not listen for AMQP")
	}
	all, meant := files(t), differences(t)
	var mu sync.Mutex
	seen, same := map[string]bool{}, 0
	each(all, func(file string, d *dialogue, n int) {
		differs, err := hold(s, d, n)
		mu.Lock()
		defer mu.Unlock()
		name := strings.TrimSuffix(filepath.Base(file), ".txt") + ": " + d.name
		if seen[name] {
			t.Errorf("%s: there are two of them", name)
		}
		seen[name] = true
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		switch reason := meant[name]; {
		case differs == "" && reason == "":
			same++
		case differs == "":
			t.Errorf("%s: no difference any more; it is listed: %s", name, reason)
		case reason == "":
			t.Errorf("%s\n%s", name, differs)
		}
	})
	for name := range meant {
		if !seen[name] && *only == "" {
			t.Errorf("differences.txt names %q, which is no dialogue", name)
		}
	}
	t.Logf("%d dialogues, %d the same frame by frame, %d listed as different", len(seen), same, len(meant))
}

// hold holds a dialogue and shows where it differs, nothing if it does not. What
// has no answer on one channel may be overtaken by what comes on another, as it
// may with RabbitMQ: a difference counts if it stays when there is more time
// between the steps.
func hold(s *harness.Server, d *dialogue, n int) (differs string, err error) {
	for try, quiet := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond} {
		r := &run{address: s.Address("amqp"), api: s.HTTP() + "/api/", prefix: fmt.Sprintf("o%d-%d-", n, try), patience: 3 * time.Second, quiet: quiet}
		answers, err := r.hold(d, true)
		if err != nil {
			return "", err
		}
		if differs = compare(d, answers); differs == "" {
			return "", nil
		}
	}
	return differs, nil
}

// compare shows the first step after which the answers are not the recorded
// ones, nothing if all are.
func compare(d *dialogue, answers [][]string) string {
	for i, s := range d.steps {
		if slices.Equal(s.answers, answers[i]) || sameTogether(d, answers, i) || sameTogether(d, answers, i-1) {
			continue
		}
		return fmt.Sprintf("  %s\n    RabbitMQ: %s\n    here:     %s", s.say,
			strings.Join(s.answers, "\n              "), strings.Join(answers[i], "\n              "))
	}
	return ""
}

// sameTogether reports whether step i has a channel closed, the next one answers
// that, and what follows both is the same: what the channel held goes back when
// it is closed, with RabbitMQ when the client has answered.
func sameTogether(d *dialogue, answers [][]string, i int) bool {
	if i < 0 || i+1 >= len(d.steps) || !strings.HasSuffix(d.steps[i+1].say, " channel.close-ok") {
		return false
	}
	both := func(a, b []string) []string { return slices.Sorted(slices.Values(slices.Concat(a, b))) }
	return slices.Equal(both(d.steps[i].answers, d.steps[i+1].answers), both(answers[i], answers[i+1]))
}
