package tidy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// TestHouse holds the whole repository against the rules, the modules of
// tests and benchmarks included.
func TestHouse(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"", "test", "bench"} {
		if _, err := os.Stat(filepath.Join(root, sub, "go.mod")); err != nil {
			continue
		}
		pkgs, err := load(root, sub)
		if err != nil {
			t.Fatal(err)
		}
		if len(pkgs) == 0 {
			t.Fatalf("module %q has no packages: the rules looked at nothing", sub)
		}
		for _, b := range append(check(pkgs), uncited(os.DirFS(root), pkgs)...) {
			t.Error(b)
		}
	}
}

// TestLinks follows the links of every page.
func TestLinks(t *testing.T) {
	dead, err := deadLinks(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range dead {
		t.Error(b)
	}
}

func TestDeadLinks(t *testing.T) {
	repo := fstest.MapFS{
		"a.md":      {Data: []byte("# A\n[b](docs/b.md) [c](docs/b.md#it-is-here) [a](#a) [x](https://x.org/y) [d](docs)\n```\n[no](link)\n```\n")},
		"docs/b.md": {Data: []byte("## It is `here`!\n[a](../a.md)\n[c](c.md)\n[d](#nowhere) [e](../a.md#b)\n")},
	}
	dead, err := deadLinks(repo)
	if err != nil {
		t.Fatal(err)
	}
	want := "[docs/b.md:3: a link to docs/c.md, which does not exist " +
		"docs/b.md:4: a link to #nowhere of docs/b.md, which has no such headline " +
		"docs/b.md:4: a link to #b of a.md, which has no such headline]"
	if got := fmt.Sprint(dead); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	f, err := parse("internal/store/s.go", []byte("// Package p is in docs/b.md, and not in docs/c.md.\npackage p"))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(uncited(repo, []pkg{{"internal/store", []*file{f}}})); got != "[internal/store/s.go:1: a comment names docs/c.md, which does not exist]" {
		t.Errorf("got %s", got)
	}
}

func lines(n int) string { return strings.Repeat("\n", n) }

const doc = "// Package p is planted.\n"

// planted are breaches, one for every rule, each with what must be said of it.
// An empty want means that the code is in order.
var planted = []struct {
	name, file, src, want string
}{
	{"downward is fine", "internal/broker/b.go", doc + `package p; import _ "` + module + `/internal/store"`, ""},
	{"own sub-package", "internal/protocol/kafka/k.go", doc + `package p; import _ "` + module + `/internal/protocol/kafka/wire"`, ""},
	{"external test", "internal/store/x_test.go", doc + `package p_test; import _ "` + module + `/internal/store"`, ""},
	{"upward", "internal/store/s.go", doc + `package p; import _ "` + module + `/internal/broker"`, "internal/store imports internal/broker: imports go only downward"},
	{"upward in a test", "internal/store/s_test.go", doc + `package p; import _ "` + module + `/internal/replica"`, "only downward"},
	{"child of the store upward", "internal/store/wal/s.go", doc + `package p; import _ "` + module + `/internal/store"`, "only downward"},
	{"siblings in state", "internal/state/group/g.go", doc + `package p; import _ "` + module + `/internal/state/topic"`, "siblings never import each other"},
	{"siblings in protocol", "internal/protocol/amqp/a.go", doc + `package p; import _ "` + module + `/internal/protocol/kafka/wire"`, "siblings never import each other"},
	{"what aws protocols share", "internal/protocol/sqs/a.go", doc + `package p; import _ "` + module + `/internal/protocol/aws"`, ""},
	{"child imports parent", "internal/protocol/kafka/wire/w.go", doc + `package p; import _ "` + module + `/internal/protocol/kafka"`, "sub-package never imports"},
	{"test-only package imported", "cmd/polylog/m.go", doc + `package p; import _ "` + module + `/internal/sim"`, "nothing imports internal/sim"},
	{"no floor", "internal/util/u.go", doc + `package p`, "stands on no floor"},
	{"import of no floor", "internal/server/u.go", doc + `package p; import _ "` + module + `/internal/util"`, "stands on no floor"},
	{"config below server", "internal/broker/c.go", doc + `package p; import _ "` + module + `/internal/config"`, "only downward"},
	{"config outside server and cli", "internal/admin/c.go", doc + `package p; import _ "` + module + `/internal/config"`, "only server and cli know settings"},

	{"state imports store", "internal/state/topic/t.go", doc + `package p; import _ "` + module + `/internal/store"`, "state is pure"},
	{"state imports a module", "internal/state/topic/t.go", doc + `package p; import _ "github.com/google/uuid"`, "state is pure"},
	{"state imports the clock", "internal/state/topic/t.go", doc + `package p; import _ "time"`, "state is pure"},
	{"state runs programs", "internal/state/topic/t.go", doc + `package p; import _ "os/exec"`, "state is pure"},
	{"state imports os", "internal/state/topic/t.go", doc + `package p; import _ "os"`, "state is pure"},
	{"state starts a goroutine", "internal/state/topic/t.go", doc + "package p\nfunc f() { go f() }", "starts a goroutine"},
	{"state's own things", "internal/state/topic/t.go", doc + `package p; import (_ "` + module + `/internal/record"; _ "` + module + `/internal/page"; _ "slices")`, ""},
	{"a test of state may use rapid", "internal/state/topic/t_test.go", doc + `package p; import _ "pgregory.net/rapid"`, ""},

	{"time.Now in state", "internal/state/topic/t.go", doc + `package p; import "time"; var _ = time.Now`, "time.Now: time is told by log time"},
	{"time.Now in a codec", "internal/record/t.go", doc + `package p; import clk "time"; var _ = clk.Now()`, "time.Now"},
	{"time.Now in a session", "internal/protocol/kafka/session.go", doc + `package p; import "time"; var _ = time.Since`, "time.Since"},
	{"time.Now in the connection", "internal/protocol/kafka/conn.go", doc + `package p; import "time"; var _ = time.Now()`, ""},
	{"sleep in a test", "internal/server/s_test.go", doc + `package p; import "time"; func f() { time.Sleep(1) }`, "a test that sleeps"},
	{"sleep in the test module", "test/crash/s_test.go", doc + `package p; import "time"; func f() { time.Sleep(1) }`, "a test that sleeps"},
	{"files past the seam", "internal/store/s.go", doc + `package p; import "os"; var _ = os.Open`, "through pebble's vfs"},
	{"a walk past the seam", "internal/store/s.go", doc + `package p; import "path/filepath"; var _ = filepath.WalkDir`, "through pebble's vfs"},
	{"a socket in the broker", "internal/broker/b.go", doc + `package p; import _ "net"`, "who has the socket"},
	{"HTTP in the broker", "internal/broker/b.go", doc + `package p; import _ "net/http"`, "who has the socket"},
	{"a connection in a codec", "internal/protocol/kafka/wire/w.go", doc + `package p; import "net"; var _ net.Conn`, "conn.go alone"},
	{"a connection in an operation", "internal/protocol/amqp/basic_get.go", doc + `package p; import "net"; var _ = net.Dial`, "conn.go alone"},
	{"a connection in the connection", "internal/protocol/amqp/conn.go", doc + `package p; import "net"; var _ net.Conn`, ""},
	{"buffers in a codec", "internal/protocol/kafka/wire/w.go", doc + `package p; import "net"; var _ net.Buffers`, ""},
	{"a test's package shipped", "internal/store/s.go", doc + `package p; import _ "` + module + `/internal/crashfs"`, "which serves tests"},
	{"testing shipped", "internal/server/s.go", doc + `package p; import _ "testing"`, "which serves tests"},
	{"what serves tests in a test", "internal/store/s_test.go", doc + `package p; import (_ "testing"; _ "` + module + `/internal/crashfs")`, ""},
	{"what serves tests among its like", "internal/brokertest/b.go", doc + `package p; import _ "` + module + `/internal/crashfs"`, ""},
	{"a dot", "internal/server/s.go", doc + `package p; import . "strings"; var _ = ToLower`, "by a dot"},
	{"a name that says nothing", "internal/server/util.go", doc + "package p", "says nothing"},
	{"a name that says something", "internal/server/utilization.go", doc + "package p", ""},
	{"the old rand", "internal/server/s.go", doc + `package p; import _ "math/rand"`, "math/rand/v2"},
	{"the shared random source", "internal/replica/r.go", doc + `package p; import "math/rand/v2"; var _ = rand.IntN`, "replayed from a seed"},
	{"standard log", "internal/server/s.go", doc + `package p; import _ "log"`, "log/slog"},
	{"printing", "internal/server/s.go", doc + `package p; import "fmt"; var _ = fmt.Println`, "only the command line prints"},
	{"testify", "internal/server/s_test.go", doc + `package p; import _ "github.com/stretchr/testify/require"`, "plain comparisons"},
	{"client SDK", "internal/cli/c.go", doc + `package p; import _ "github.com/twmb/franz-go/pkg/kgo"`, "client libraries"},
	{"client SDK in a test", "internal/cli/c_test.go", doc + `package p; import _ "github.com/IBM/sarama"`, "client libraries"},
	{"client SDK where it belongs", "test/kafka/c_test.go", doc + `package p; import _ "github.com/twmb/franz-go/pkg/kgo"`, ""},

	{"no package comment", "internal/store/s.go", "package p", "no package comment"},
	{"long function", "internal/store/s.go", doc + "package p\nfunc f() {" + lines(maxFuncLines) + "}", "function f has 71 lines"},
	{"function at the limit", "internal/store/s.go", doc + "package p\nfunc f() {" + lines(maxFuncLines-1) + "}", ""},
	{"long method in a test", "internal/store/s_test.go", doc + "package p\ntype T int\nfunc (T) f() {" + lines(maxFuncLines) + "}", "function f has 71 lines"},
	{"long literal", "internal/store/s.go", doc + "package p\nvar f = func() {" + lines(maxFuncLines) + "}", "function literal has 71 lines"},
	{"long file", "internal/store/s.go", doc + "package p" + lines(maxFileLines), "the limit is 600"},
	{"file at the limit", "internal/store/s.go", doc + "package p" + lines(maxFileLines-2), ""},
	{"long test file", "internal/store/s_test.go", doc + "package p" + lines(maxTestFileLines), "the limit is 1000"},
	{"longer test file", "internal/store/s_test.go", doc + "package p" + lines(maxFileLines), ""},
	{"init", "internal/store/s.go", doc + "package p\nfunc init() {}", "func init"},
	{"a method named init", "internal/store/s.go", doc + "package p\ntype T int\nfunc (T) init() {}", ""},
	{"leftover", "internal/store/s.go", doc + "package p\n// TODO: later", "TODO in a comment"},
}

// TestPlanted shows that every rule fails on a breach of it, and on nothing
// else.
func TestPlanted(t *testing.T) {
	for _, c := range planted {
		t.Run(c.name, func(t *testing.T) {
			found := checkSources(t, map[string]string{c.file: c.src})
			switch {
			case c.want == "" && len(found) > 0:
				t.Errorf("code in order is refused: %v", found)
			case c.want != "" && len(found) == 0:
				t.Errorf("the breach goes unseen")
			case c.want != "" && !strings.Contains(fmt.Sprint(found), c.want):
				t.Errorf("found %v, want a mention of %q", found, c.want)
			}
		})
	}
}

func TestSecondPackageComment(t *testing.T) {
	found := checkSources(t, map[string]string{
		"internal/store/a.go": doc + "package p",
		"internal/store/b.go": doc + "package p",
	})
	if len(found) != 1 || !strings.Contains(found[0].what, "more than one package comment") {
		t.Errorf("found %v", found)
	}
}

// TestEveryBanIsPlanted fails when a row is added to the table without a
// breach of it.
func TestEveryBanIsPlanted(t *testing.T) {
	for _, b := range bans {
		hit := false
		for _, c := range planted {
			hit = hit || c.want != "" && strings.Contains(c.src, strings.TrimSuffix(b.path, "/"))
		}
		if !hit && !strings.HasPrefix(b.because, "client libraries") {
			t.Errorf("no planted breach of the ban on %s", b.path)
		}
	}
}

// checkSources checks files that are all of one package.
func checkSources(t *testing.T, sources map[string]string) []breach {
	t.Helper()
	var p pkg
	for name, src := range sources {
		f, err := parse(name, []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		p.path = name[:strings.LastIndex(name, "/")]
		p.files = append(p.files, f)
	}
	return check([]pkg{p})
}
