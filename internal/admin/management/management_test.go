package management_test

import (
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/admin/management"
	"github.com/polylog-mq/polylog/internal/config"
	"github.com/polylog-mq/polylog/internal/server"
)

// managed is a server in this process with its management API.
type managed struct {
	t              *testing.T
	node           management.Node
	url            string
	user, password string
}

func start(t *testing.T) *managed {
	t.Helper()
	c := config.Default()
	c.Data.Dir, c.Data.Shards = "data", 2
	c.Kafka.Listen, c.AMQP.Listen, c.HTTP.Listen = "", "127.0.0.1:0", ""
	s, err := server.Start(t.Context(), server.Options{Config: c, Version: "test", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	h := httptest.NewServer(management.New(s))
	t.Cleanup(h.Close)
	return &managed{t, s, h.URL, "guest", "guest"}
}

// do makes a request and returns the status and the body.
func (m *managed) do(method, path, body string) (int, string) {
	m.t.Helper()
	r, err := http.NewRequestWithContext(m.t.Context(), method, m.url+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	if m.user != "" {
		r.SetBasicAuth(m.user, m.password)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// ok makes a request that must answer with a status.
func (m *managed) ok(status int, method, path, body string) string {
	m.t.Helper()
	got, b := m.do(method, path, body)
	if got != status {
		m.t.Fatalf("%s %s: %d %s, want %d", method, path, got, b, status)
	}
	return b
}

// get returns the answer to a GET.
func get[T any](m *managed, path string) (v T) {
	m.t.Helper()
	b := m.ok(200, "GET", path, "")
	if err := json.Unmarshal([]byte(b), &v); err != nil {
		m.t.Fatalf("%s: %v in %s", path, err, b)
	}
	return v
}

type object = map[string]any

// TestRights: nobody gets at anything without the right to it.
func TestRights(t *testing.T) {
	m := start(t)
	m.ok(201, "PUT", "/api/users/plain", `{"password":"p","tags":""}`)
	m.ok(201, "PUT", "/api/users/manager", `{"password":"p","tags":"management"}`)
	m.ok(201, "PUT", "/api/users/monitor", `{"password":"p","tags":["monitoring"]}`)
	for _, r := range management.Routes() {
		if r.Need == "nothing" {
			continue
		}
		method, path, _ := strings.Cut(r.Pattern, " ")
		path = strings.NewReplacer("{vhost}", "%2F", "{kind}", "q", "{", "", "}", "").Replace(path)
		for _, c := range []struct {
			user, password string
			may            bool
		}{
			{"", "", false},
			{"guest", "wrong", false},
			{"nobody", "p", false},
			{"plain", "p", false},
			{"manager", "p", false}, // no permission in the vhost, or no tag for it
		} {
			if c.user == "manager" && (r.Need == "user" && !strings.Contains(path, "%2F")) {
				continue
			}
			as := *m
			as.user, as.password = c.user, c.password
			if status, body := as.do(method, path, "{}"); status != 401 {
				t.Errorf("%s %s as %q: %d %s, want 401", method, path, c.user, status, body)
			}
		}
	}
	monitor := *m
	monitor.user, monitor.password = "monitor", "p"
	monitor.ok(200, "GET", "/api/nodes", "")
	monitor.ok(401, "GET", "/api/users", "")
}

func TestTopology(t *testing.T) {
	m := start(t)
	m.ok(201, "PUT", "/api/exchanges/%2F/x", `{"type":"topic","durable":true}`)
	m.ok(204, "PUT", "/api/exchanges/%2F/x", `{"type":"topic","durable":true,"arguments":[]}`)
	m.ok(400, "PUT", "/api/exchanges/%2F/x", `{"type":"fanout","durable":true}`)
	m.ok(201, "PUT", "/api/queues/%2F/q", `{"durable":true,"arguments":{"x-max-length":10,"x-message-ttl":60000}}`)
	m.ok(400, "PUT", "/api/queues/%2F/q", `{"durable":true,"arguments":{"x-max-length":11}}`)
	m.ok(201, "POST", "/api/bindings/%2F/e/x/q/q", `{"routing_key":"a.*","arguments":{}}`)
	m.ok(404, "POST", "/api/bindings/%2F/e/none/q/q", `{"routing_key":"a.*"}`)
	if q := get[object](m, "/api/queues/%2F/q"); q["name"] != "q" || q["durable"] != true || q["arguments"].(object)["x-max-length"] != 10.0 || q["messages"] != 0.0 {
		t.Errorf("queue: %v", q)
	}
	bindings := get[[]object](m, "/api/queues/%2F/q/bindings")
	if len(bindings) != 2 || bindings[1]["routing_key"] != "a.*" || bindings[1]["source"] != "x" || bindings[0]["source"] != "" {
		t.Errorf("bindings: %v", bindings)
	}
	if x := get[object](m, "/api/exchanges/%2F/amq.default"); x["name"] != "" || x["type"] != "direct" {
		t.Errorf("the default exchange: %v", x)
	}
	if all := get[[]object](m, "/api/exchanges"); len(all) < 8 {
		t.Errorf("%d exchanges", len(all))
	}
	m.ok(204, "DELETE", "/api/bindings/%2F/e/x/q/q/a.%2A", "")
	m.ok(404, "GET", "/api/bindings/%2F/e/x/q/q/a.%2A", "")
	m.ok(204, "DELETE", "/api/queues/%2F/q", "")
	m.ok(404, "GET", "/api/queues/%2F/q", "")
	m.ok(204, "DELETE", "/api/exchanges/%2F/x", "")
	m.ok(404, "GET", "/api/no/such/thing", "")
}

func TestMessages(t *testing.T) {
	m := start(t)
	m.ok(201, "PUT", "/api/queues/%2F/q", `{"durable":true}`)
	publish := func(key, body string) string {
		return m.ok(200, "POST", "/api/exchanges/%2F/amq.default/publish",
			`{"properties":{"headers":{"n":7,"deep":{"a":[1,"b"]}},"content_type":"text/plain","delivery_mode":2},"routing_key":"`+key+`","payload":"`+body+`","payload_encoding":"string"}`)
	}
	if got := publish("q", "hello"); !strings.Contains(got, "true") {
		t.Errorf("publish: %s", got)
	}
	if got := publish("none", "hello"); !strings.Contains(got, "false") {
		t.Errorf("publish to nobody: %s", got)
	}
	publish("q", "again")
	take := func(mode string) (list []object) {
		b := m.ok(200, "POST", "/api/queues/%2F/q/get", `{"count":1,"ackmode":"`+mode+`","encoding":"auto"}`)
		if err := json.Unmarshal([]byte(b), &list); err != nil {
			t.Fatal(err)
		}
		return list
	}
	for _, redelivered := range []bool{false, true} {
		got := take("ack_requeue_true")
		if len(got) != 1 || got[0]["payload"] != "hello" || got[0]["redelivered"] != redelivered || got[0]["message_count"] != 1.0 ||
			got[0]["properties"].(object)["headers"].(object)["n"] != 7.0 || got[0]["properties"].(object)["delivery_mode"] != 2.0 {
			t.Errorf("get: %v", got)
		}
	}
	if got := take("ack_requeue_false"); len(got) != 1 || got[0]["payload"] != "hello" {
		t.Errorf("get and keep: %v", got)
	}
	if q := get[object](m, "/api/queues/%2F/q"); q["messages_ready"] != 1.0 {
		t.Errorf("queue: %v", q)
	}
	m.ok(204, "DELETE", "/api/queues/%2F/q/contents", "")
	if got := take("ack_requeue_false"); len(got) != 0 {
		t.Errorf("after the purge: %v", got)
	}
	m.ok(400, "POST", "/api/queues/%2F/q/get", `{"count":0,"ackmode":"ack_requeue_false","encoding":"auto"}`)
	m.ok(400, "POST", "/api/exchanges/%2F/amq.default/publish", `{"payload":"x"}`)
}

// TestNothingIsCut: what AMQP could not carry whole is refused, and an answer has
// an end although messages are large.
func TestNothingIsCut(t *testing.T) {
	m := start(t)
	m.ok(201, "PUT", "/api/queues/%2F/q", `{"durable":true}`)
	long, deep := strings.Repeat("n", 256), strings.Repeat(`{"a":[`, 40)+strings.Repeat("]}", 40)
	m.ok(201, "PUT", "/api/queues/%2F/"+long[1:], `{}`)
	for _, x := range [][3]string{
		{"PUT", "/api/queues/%2F/" + long, `{}`},
		{"PUT", "/api/queues/%2F/r", `{"arguments":{"x":` + deep + `}}`},
		{"POST", "/api/bindings/%2F/e/amq.topic/q/q", `{"routing_key":"` + long + `"}`},
		{"POST", "/api/exchanges/%2F/amq.default/publish", `{"properties":{},"routing_key":"` + long + `","payload":""}`},
		{"POST", "/api/exchanges/%2F/amq.default/publish", `{"properties":{"reply_to":"` + long + `"},"routing_key":"q","payload":""}`},
	} {
		m.ok(400, x[0], x[1], x[2])
	}
	for range 5 {
		m.ok(200, "POST", "/api/exchanges/%2F/amq.default/publish", `{"properties":{},"routing_key":"q","payload":"0123456789"}`)
	}
	for _, x := range [][2]int{{40, 4}, {41, 5}, {1, 1}, {1000, 5}} {
		if got, err := management.Get(m.node, "q", 10, x[0]); err != nil || got != x[1] {
			t.Errorf("with at most %d bytes: %d messages, %v, want %d", x[0], got, err, x[1])
		}
	}
}

func TestVhostsAndUsers(t *testing.T) {
	m := start(t)
	m.ok(201, "PUT", "/api/vhosts/traced", `{"tracing":true}`)
	m.ok(204, "PUT", "/api/vhosts/traced", `{"description":"still"}`)
	if v := get[object](m, "/api/vhosts/traced"); v["tracing"] != true {
		t.Errorf("traced: %v", v)
	}
	m.ok(204, "DELETE", "/api/vhosts/traced", "")
	m.ok(201, "PUT", "/api/vhosts/traced", `{}`)
	if v := get[object](m, "/api/vhosts/traced"); v["tracing"] != false {
		t.Errorf("a new vhost of the name: %v", v)
	}
	m.ok(201, "PUT", "/api/vhosts/blue", `{"description":"sea","tags":"a,b"}`)
	if v := get[object](m, "/api/vhosts/blue"); v["description"] != "sea" || len(v["tags"].([]any)) != 2 {
		t.Errorf("vhost: %v", v)
	}
	m.ok(201, "PUT", "/api/users/u", `{"password":"secret","tags":"management"}`)
	m.ok(201, "PUT", "/api/permissions/blue/u", `{"configure":"^q","write":".*","read":".*"}`)
	u := *m
	u.user, u.password = "u", "secret"
	u.ok(201, "PUT", "/api/queues/blue/q", `{}`)
	u.ok(401, "PUT", "/api/queues/blue/other", `{}`)
	u.ok(401, "PUT", "/api/queues/%2F/q", `{}`)
	if all := get[[]object](&u, "/api/queues"); len(all) != 1 || all[0]["vhost"] != "blue" {
		t.Errorf("what u sees: %v", all)
	}
	m.ok(204, "PUT", "/api/users/u", `{"password":"other","tags":"management"}`)
	u.ok(401, "GET", "/api/whoami", "")
	m.ok(204, "DELETE", "/api/permissions/blue/u", "")
	m.ok(404, "GET", "/api/permissions/blue/u", "")
	m.ok(204, "DELETE", "/api/users/u", "")
	m.ok(204, "DELETE", "/api/vhosts/blue", "")
	m.ok(404, "GET", "/api/vhosts/blue", "")
}

// TestDefinitions: what was exported here is imported there.
func TestDefinitions(t *testing.T) {
	m, other := start(t), start(t)
	m.ok(201, "PUT", "/api/vhosts/blue", `{}`)
	m.ok(201, "PUT", "/api/users/u", `{"password":"secret","tags":"management"}`)
	m.ok(201, "PUT", "/api/permissions/blue/u", `{"configure":".*","write":".*","read":".*"}`)
	m.ok(201, "PUT", "/api/exchanges/blue/x", `{"type":"headers"}`)
	m.ok(201, "PUT", "/api/queues/blue/q", `{"arguments":{"x-max-priority":3}}`)
	m.ok(201, "POST", "/api/bindings/blue/e/x/q/q", `{"arguments":{"x-match":"any","a":1}}`)
	m.ok(201, "PUT", "/api/queues/blue/passing", `{"durable":false,"auto_delete":true}`)
	m.ok(201, "POST", "/api/bindings/blue/e/x/q/passing", `{"routing_key":"k"}`)
	m.ok(201, "PUT", "/api/policies/blue/p", `{"pattern":"^q","definition":{"max-length":10},"priority":1,"apply-to":"queues"}`)
	m.ok(201, "PUT", "/api/operator-policies/blue/o", `{"pattern":"^q","definition":{"max-length":5},"priority":2}`)
	m.ok(204, "PUT", "/api/vhost-limits/blue/max-queues", `{"value":7}`)
	m.ok(204, "PUT", "/api/user-limits/u/max-channels", `{"value":8}`)
	m.ok(204, "PUT", "/api/cluster-name", `{"name":"the one"}`)
	exported := m.ok(200, "GET", "/api/definitions", "")
	for range 2 { // the second time changes nothing
		other.ok(204, "POST", "/api/definitions", exported)
	}
	again := other.ok(200, "GET", "/api/definitions", "")
	id := regexp.MustCompile("rabbitmq-cluster-id-[-0-9a-f]*") // which stays with its cluster
	if id.ReplaceAllString(again, "") != id.ReplaceAllString(exported, "") || id.FindString(again) == id.FindString(exported) {
		t.Errorf("exported\n%s\nand, imported, again\n%s", exported, again)
	}
	other.user, other.password = "u", "secret"
	other.ok(200, "GET", "/api/queues/blue/q", "")
	other.ok(401, "GET", "/api/definitions", "")
}

func TestOverview(t *testing.T) {
	m := start(t)
	m.ok(201, "PUT", "/api/queues/%2F/q", `{}`)
	o := get[object](m, "/api/overview")
	if o["object_totals"].(object)["queues"] != 1.0 || o["rabbitmq_version"] == "" || len(o["listeners"].([]any)) != 1 {
		t.Errorf("overview: %v", o)
	}
	if who := get[object](m, "/api/whoami"); who["name"] != "guest" {
		t.Errorf("whoami: %v", who)
	}
	m.ok(200, "GET", "/api/aliveness-test/%2F", "")
	m.ok(200, "GET", "/api/health/checks/alarms", "")
	m.ok(200, "GET", "/api/health/checks/protocol-listener/amqp", "")
	m.ok(503, "GET", "/api/health/checks/port-listener/1", "")
	if n := get[[]object](m, "/api/nodes"); len(n) != 1 || n[0]["running"] != true || n[0]["sockets_total"] != 10000.0 || n[0]["fd_used"] == nil {
		t.Errorf("nodes: %v", n)
	}
}

var rewrite = flag.Bool("rewrite", false, "rewrite the generated part of docs/protocol/management.md")

// TestDocumented holds the table in the documentation against the program's.
func TestDocumented(t *testing.T) {
	const file = "../../../docs/protocol/management.md"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("\n| Request | Needs |\n|---|---|\n")
	for _, r := range management.Routes() {
		table.WriteString("| `" + r.Pattern + "` | " + r.Need + " |\n")
	}
	head, rest, _ := strings.Cut(string(doc), "<!-- generated: begin -->\n")
	_, tail, ok := strings.Cut(rest, "<!-- generated: end -->")
	if !ok {
		t.Fatal("the marks around the generated part are gone")
	}
	want := head + "<!-- generated: begin -->\n" + table.String() + "\n<!-- generated: end -->" + tail
	switch {
	case want == string(doc):
	case !*rewrite:
		t.Fatalf("%s is out of date: go test ./internal/admin/management -run Documented -rewrite", file)
	default:
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
