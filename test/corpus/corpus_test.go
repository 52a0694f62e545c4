// Package corpus carries real input through the real binary: every stanza of
// the machine's Debian package index is a record, produced by kcat and consumed
// by a group of three processes, of which one is killed half-way.
package corpus

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/test/harness"
)

const (
	topic      = "packages"
	partitions = 12
	members    = 3
	// What separates key and value, and records, on the way to kcat; neither
	// occurs in the index.
	keyEnd, recordEnd = "\x1f", "\x1e"
)

// TestMain is also the member's main: the test runs itself again for each.
func TestMain(m *testing.M) {
	if address := os.Getenv("CORPUS_MEMBER_OF"); address != "" {
		if err := member(address); err != nil {
			fmt.Fprintln(os.Stderr, "member:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestPackages(t *testing.T) {
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		t.Skip("kcat is not installed")
	}
	input := stanzas(t)
	s := harness.Start(t)
	if out, errs, code := s.CLI("", "topic", "create", topic, "-p", fmt.Sprint(partitions)); code != 0 {
		t.Fatalf("creating the topic: %s%s", out, errs)
	}
	began := time.Now()
	produce(t, kcat, s.Kafka(), input)
	t.Logf("kcat produced %d stanzas in %s", len(input), time.Since(began).Round(time.Millisecond))
	began = time.Now()
	got := consume(t, s.Kafka(), len(input))
	t.Logf("three members, one killed half-way, consumed them in %s", time.Since(began).Round(time.Millisecond))
	check(t, input, got)
}

// stanza is one package: its name, and all of its text.
type stanza struct{ key, value string }

func stanzas(t *testing.T) []stanza {
	t.Helper()
	out, err := exec.Command("apt-cache", "dumpavail").Output()
	if err != nil || len(out) == 0 {
		t.Skipf("there is no package index here: %v", err)
	}
	var all []stanza
	for text := range strings.SplitSeq(string(out), "\n\n") {
		text = strings.Trim(text, "\n")
		name, ok := strings.CutPrefix(text, "Package: ")
		if !ok {
			continue
		}
		name, _, _ = strings.Cut(name, "\n")
		all = append(all, stanza{name, text})
	}
	if len(all) < 1000 {
		t.Skipf("the package index has only %d stanzas", len(all))
	}
	return all
}

func produce(t *testing.T, kcat, address string, input []stanza) {
	t.Helper()
	var text bytes.Buffer
	for i, s := range input {
		if i > 0 {
			text.WriteString(recordEnd)
		}
		text.WriteString(s.key + keyEnd + s.value)
	}
	cmd := exec.Command(kcat, "-P", "-b", address, "-t", topic, "-K", `\x1f`, "-D", `\x1e`)
	cmd.Stdin = &text
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kcat: %v\n%s", err, out)
	}
}

// delivery is what a member says of a record.
type delivery struct {
	partition int
	offset    int64
	key       string
	sum       string // of the value
}

// consume runs the members and kills one when half of the records have come.
func consume(t *testing.T, address string, n int) map[[2]int64]delivery {
	t.Helper()
	said := make(chan delivery, 1024)
	var procs []*exec.Cmd
	for range members {
		procs = append(procs, startMember(t, address, said))
	}
	got := map[[2]int64]delivery{}
	timeout := time.After(3 * time.Minute)
	killed := false
	for len(got) < n {
		select {
		case d := <-said:
			at := [2]int64{int64(d.partition), d.offset}
			if before, again := got[at]; again && before != d {
				t.Fatalf("partition %d offset %d came as %+v and as %+v", d.partition, d.offset, before, d)
			}
			got[at] = d
		case <-timeout:
			t.Fatalf("%d of %d records came", len(got), n)
		}
		if !killed && len(got) >= n/2 {
			killed = true
			if err := procs[0].Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return got
}

func startMember(t *testing.T, address string, said chan<- delivery) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CORPUS_MEMBER_OF="+address)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var d delivery
			var end string
			if _, err := fmt.Sscan(lines.Text(), &d.partition, &d.offset, &d.sum, &d.key, &end); err != nil {
				continue // the killed member's last line is cut short
			}
			select {
			case said <- d:
			case <-done:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(done)
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait()
	})
	return cmd
}

// check holds what came against the input: every stanza once, byte for byte,
// those of one key in one partition and in order, offsets without a gap.
func check(t *testing.T, input []stanza, got map[[2]int64]delivery) {
	t.Helper()
	var logs [partitions][]delivery
	for p := range logs {
		for o := int64(0); ; o++ {
			d, ok := got[[2]int64{int64(p), o}]
			if !ok {
				break
			}
			logs[p] = append(logs[p], d)
		}
	}
	home := map[string]int{}
	byKey := map[string][]string{}
	total := 0
	for p, log := range logs {
		total += len(log)
		for _, d := range log {
			if at, ok := home[d.key]; ok && at != p {
				t.Errorf("%s lies in partitions %d and %d", d.key, at, p)
			}
			home[d.key] = p
			byKey[d.key] = append(byKey[d.key], d.sum)
		}
	}
	if total != len(input) || len(got) != len(input) {
		t.Errorf("%d records at consecutive offsets, %d in all, of %d", total, len(got), len(input))
	}
	for _, s := range input {
		sums := byKey[s.key]
		if len(sums) == 0 || sums[0] != sum([]byte(s.value)) {
			t.Errorf("%s is missing, changed or out of order", s.key)
			continue
		}
		byKey[s.key] = sums[1:]
	}
}

func sum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
