package kafka

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/protocol/kafka/wire"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the generated part of docs/protocol/kafka.md")

func TestTableIsSound(t *testing.T) {
	if !slices.IsSortedFunc(apis, func(a, b api) int { return int(a.key) - int(b.key) }) {
		t.Error("the table is not ordered by key")
	}
	tbl := newTable(apis)
	for i := range tbl.rows {
		r := &tbl.rows[i]
		if tbl.lookup(r.key) != r {
			t.Errorf("key %d occurs twice", r.key)
		}
		if name := kmsg.NameForKey(r.key); r.key != 45 && !strings.EqualFold(name, r.name) {
			t.Errorf("key %d is called %s here and %s in kmsg", r.key, r.name, name)
		}
		if limit := kmsg.RequestForKey(r.key).MaxVersion(); r.served.min > r.served.max || r.served.max > limit {
			t.Errorf("%s: versions %+v, kmsg knows up to %d", r.name, r.served, limit)
		}
		if r.advertised.max != r.served.max || r.advertised.min > r.served.min {
			t.Errorf("%s: advertised %+v, served %+v", r.name, r.advertised, r.served)
		}
		if r.maxFrame <= 0 || r.handle == nil {
			t.Errorf("%s: no largest frame or no handler", r.name)
		}
		if len(r.needs) == 0 && r.key != keyAPIVersions {
			t.Errorf("%s: needs no permission", r.name)
		}
		req := kmsg.RequestForKey(r.key)
		for v := r.served.min; v <= r.served.max; v++ {
			req.SetVersion(v)
			if wire.Flexible(r.key, v) != req.IsFlexible() {
				t.Errorf("%s v%d: wire has no shape for it, or a wrong one", r.name, v)
			}
		}
	}
}

// TestReleasedClientsFindWhatTheyLookFor: librdkafka before 2.11 looks for
// exact versions and switches features off that it does not find.
func TestReleasedClientsFindWhatTheyLookFor(t *testing.T) {
	tbl := newTable(apis)
	for _, c := range []struct {
		key, min, max int16
		feature       string
	}{
		{keyProduce, 0, 0, "compression with gzip and snappy"},
		{keyProduce, 2, 2, "relative offsets"},
		{keyProduce, 3, 3, "message format 2"},
		{1, 4, 4, "message format 2"},
		{2, 1, 1, "offsets by time"},
		{10, 0, 0, "lz4, groups"},
		{8, 1, 2, "groups"},
		{9, 1, 1, "groups"},
		{11, 0, 0, "groups"},
		{12, 0, 0, "groups"},
		{13, 0, 0, "groups"},
		{14, 0, 0, "groups"},
		{22, 0, 4, "idempotence"},
	} {
		r := tbl.lookup(c.key)
		if r == nil || r.advertised.min > c.max || r.advertised.max < c.min {
			t.Errorf("key %d version %d-%d is not advertised, so there is no %s", c.key, c.min, c.max, c.feature)
		}
	}
}

const (
	matrixFile  = "../../../docs/protocol/kafka.md"
	matrixBegin = "<!-- generated from internal/protocol/kafka/api.go: begin -->\n"
	matrixEnd   = "<!-- generated from internal/protocol/kafka/api.go: end -->\n"
)

// TestSupportMatrix holds the table in the documentation against the one in
// the program. Run with -rewrite to bring it up to date.
func TestSupportMatrix(t *testing.T) {
	doc, err := os.ReadFile(matrixFile)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := bytes.Cut(doc, []byte(matrixBegin))
	old, tail, ok2 := bytes.Cut(rest, []byte(matrixEnd))
	if !ok1 || !ok2 {
		t.Fatalf("%s has lost the marks around its generated part", matrixFile)
	}
	want := matrix()
	if string(old) == want {
		return
	}
	if !*rewrite {
		t.Fatalf("%s is out of date: go test ./internal/protocol/kafka -run SupportMatrix -rewrite", matrixFile)
	}
	out := slices.Concat(head, []byte(matrixBegin), []byte(want), []byte(matrixEnd), tail)
	if err := os.WriteFile(matrixFile, out, 0o644); err != nil {
		t.Fatal(err)
	}
}

func matrix() string {
	var b strings.Builder
	b.WriteString("\n| Key | API | Versions | Advertised | Permissions |\n|---|---|---|---|---|\n")
	for _, r := range newTable(apis).rows {
		advertised := ""
		if r.advertised != r.served {
			advertised = r.advertised.String()
		}
		needs := make([]string, 0, len(r.needs))
		for _, p := range r.needs {
			needs = append(needs, fmt.Sprintf("%s %s", p.action, p.on))
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", r.key, r.name, r.served, advertised, strings.Join(needs, ", "))
	}
	return b.String() + "\n"
}
