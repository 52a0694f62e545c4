package admin

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/internal/adminapi"
	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

// client asks a server's handler.
type client struct {
	t      *testing.T
	h      http.Handler
	b      *broker.Broker
	change func(*http.Request)
}

func serve(t *testing.T) *client {
	t.Helper()
	s := start(t)
	return &client{t: t, h: New(s), b: s.Broker()}
}

// do sends a request from this machine and returns what came.
func (c *client) do(method, path, body string) (int, string) {
	c.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr, r.Host = "127.0.0.1:5", "localhost:15672"
	if c.change != nil {
		c.change(r)
	}
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r)
	got, err := io.ReadAll(w.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return w.Code, string(got)
}

// ok sends a request that must succeed, and reads its answer.
func (c *client) ok(method, path, body string, into any) {
	c.t.Helper()
	status, got := c.do(method, path, body)
	if status/100 != 2 {
		c.t.Fatalf("%s %s: %d %s", method, path, status, got)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(got), into); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, got)
		}
	}
}

// publish puts messages into a queue.
func (c *client) publish(queue string, values ...string) {
	c.t.Helper()
	for _, v := range values {
		var b record.Builder
		b.Reset(record.Template(record.None))
		b.Add(record.Record{Timestamp: 7, Value: []byte(v)})
		batch, err := b.AppendTo(nil)
		if err != nil {
			c.t.Fatal(err)
		}
		done := make(chan error)
		c.b.Publish(&broker.Publish{
			Batch: batch, Targets: []*broker.Queue{c.b.Queue("/", queue)}, Facts: broker.Facts{Bytes: int64(len(v))},
			Done: func(p *broker.Publish) { done <- p.Err },
		})
		if err := <-done; err != nil {
			c.t.Fatal(err)
		}
	}
}

func TestQueues(t *testing.T) {
	c := serve(t)
	var q adminapi.Queue
	c.ok("PUT", "/v1/queues/work", `{"durable":true,"arguments":{"x-max-priority":3,"x-dead-letter-exchange":"","x-dead-letter-routing-key":"dead"}}`, &q)
	if !q.Durable || q.Arguments["x-max-priority"] != int64(3) || q.Tenant != "/" {
		t.Errorf("declared %+v", q)
	}
	c.ok("PUT", "/v1/queues/dead%2Fletters", `{"durable":true}`, nil)
	c.publish("work", "a", "b", "c")
	c.ok("GET", "/v1/queues/work", "", &q)
	if q.Ready != 3 || q.Bytes != 3 || q.Published != 3 {
		t.Errorf("with three messages: %+v", q)
	}
	var peeked []adminapi.Message
	c.ok("POST", "/v1/queues/work/peek?max=2", "", &peeked)
	if len(peeked) != 2 || peeked[0].Value.Text != "a" || peeked[1].Offset != 1 || peeked[0].Timestamp != 7 {
		t.Errorf("peeked %+v", peeked)
	}
	var n adminapi.Count
	c.ok("POST", "/v1/queues/work/redrive", `{"to":"dead/letters","max":2}`, &n)
	if n.Messages != 2 {
		t.Errorf("redriven: %+v", n)
	}
	var list []adminapi.Queue
	c.ok("GET", "/v1/queues", "", &list)
	if len(list) != 2 || list[0].Name != "dead/letters" || list[0].Ready != 2 || list[1].Ready != 1 {
		t.Errorf("after the redrive: %+v", list)
	}
	c.ok("POST", "/v1/queues/work/redrive", `{"to":"dead/letters"}`, &n)
	c.ok("POST", "/v1/queues/dead%2Fletters/purge", "", &n)
	if n.Messages != 3 {
		t.Errorf("purged: %+v", n)
	}
	for _, x := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/v1/queues/none", "", 404, "no queue 'none' in vhost '/'"},
		{"GET", "/v1/queues?tenant=acme", "", 404, "no vhost 'acme'"},
		{"PUT", "/v1/queues/work", `{"durable":true}`, 409, "inequivalent arg 'x-dead-letter-exchange' for queue 'work'"},
		{"PUT", "/v1/queues/bad", `{"arguments":{"x-max-length":-1}}`, 400, "invalid arg"},
		{"PUT", "/v1/queues/bad", `{"durabel":true}`, 400, "durabel"},
		{"POST", "/v1/queues/work/redrive", `{"to":"work"}`, 400, "to itself"},
		{"POST", "/v1/queues/work/peek?max=0", "", 400, "max must be"},
		{"DELETE", "/v1/queues/work?if-empty=x", "", 400, "if-empty"},
	} {
		if status, got := c.do(x.method, x.path, x.body); status != x.status || !strings.Contains(got, x.want) {
			t.Errorf("%s %s %s: %d %s, want %d %s", x.method, x.path, x.body, status, got, x.status, x.want)
		}
	}
	c.publish("work", "left")
	if status, got := c.do("DELETE", "/v1/queues/work?if-empty=true", ""); status != 409 || !strings.Contains(got, "queue 'work' in vhost '/' not empty") {
		t.Errorf("deleting what is not empty: %d %s", status, got)
	}
	c.ok("DELETE", "/v1/queues/work", "", &n)
	if n.Messages != 1 || c.b.Queue("/", "work") != nil {
		t.Errorf("deleted with %d messages", n.Messages)
	}
}

func TestExchangesAndBindings(t *testing.T) {
	c := serve(t)
	c.ok("PUT", "/v1/tenants/acme", `{"description":"customers"}`, nil)
	c.ok("PUT", "/v1/queues/q?tenant=acme", `{"durable":true}`, nil)
	var x adminapi.Exchange
	c.ok("PUT", "/v1/exchanges/x?tenant=acme", `{"type":"headers","durable":true,"arguments":{"alternate-exchange":"amq.fanout"}}`, &x)
	if x.Type != "headers" || x.Arguments["alternate-exchange"] != "amq.fanout" || x.Tenant != "acme" {
		t.Errorf("declared %+v", x)
	}
	args := `{"x-match":"any","n":5,"f":1.5,"b":true,"none":null,"list":[1,"two"],"t":{"k":"v"}}`
	bind := `{"source":"x","destination":"q","destinationType":"queue","key":"k","arguments":` + args + `}`
	c.ok("POST", "/v1/bindings?tenant=acme", bind, nil)
	c.ok("POST", "/v1/bindings?tenant=acme", `{"source":"amq.fanout","destination":"x","destinationType":"exchange"}`, nil)
	var list []adminapi.Binding
	c.ok("GET", "/v1/bindings?tenant=acme", "", &list)
	var want adminapi.Arguments
	if err := json.Unmarshal([]byte(args), &want); err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || !reflect.DeepEqual(list[0].Arguments, want) || list[1].DestinationType != "exchange" {
		t.Errorf("bindings: %+v", list)
	}
	c.ok("POST", "/v1/bindings/remove?tenant=acme", bind, nil)
	c.ok("GET", "/v1/bindings?tenant=acme", "", &list)
	if len(list) != 1 {
		t.Errorf("after the removal: %+v", list)
	}
	for _, r := range []struct {
		method, path, body string
		status             int
	}{
		{"PUT", "/v1/exchanges/x?tenant=acme", `{"type":"fanout","durable":true}`, 409},
		{"PUT", "/v1/exchanges/y", `{"type":"odd"}`, 400},
		{"PUT", "/v1/exchanges/amq.y", `{"type":"fanout"}`, 403},
		{"DELETE", "/v1/exchanges/none", "", 404},
		{"DELETE", "/v1/exchanges/amq.fanout?tenant=acme&if-unused=true", "", 403},
		{"POST", "/v1/bindings", `{"source":"none","destination":"q"}`, 404},
		{"POST", "/v1/bindings", `{"destinationType":"planet"}`, 400},
		{"DELETE", "/v1/tenants/_?name=%2F", "", 403},
		{"PUT", "/v1/tenants/t", `{"name":"u"}`, 400},
	} {
		if status, got := c.do(r.method, r.path, r.body); status != r.status {
			t.Errorf("%s %s %s: %d %s, want %d", r.method, r.path, r.body, status, got, r.status)
		}
	}
	c.ok("DELETE", "/v1/exchanges/x?tenant=acme", "", nil)
	c.ok("DELETE", "/v1/tenants/acme", "", nil)
	var tenants []adminapi.Tenant
	c.ok("GET", "/v1/tenants", "", &tenants)
	if len(tenants) != 1 || tenants[0].Name != "/" {
		t.Errorf("tenants: %+v", tenants)
	}
}

func TestUsersAndGuard(t *testing.T) {
	c := serve(t)
	c.ok("PUT", "/v1/users/app", `{"password":"secret","tags":["monitoring"]}`, nil)
	c.ok("PUT", "/v1/users/app/permission", `{"configure":"^app","write":".*","read":""}`, nil)
	c.ok("PUT", "/v1/users/root", `{"password":"root","tags":["administrator"]}`, nil)
	c.ok("PUT", "/v1/users/root", `{"tags":["administrator"]}`, nil)
	var users []adminapi.User
	c.ok("GET", "/v1/users", "", &users)
	if len(users) != 3 || users[0].Name != "app" || users[0].Permissions[0] != (adminapi.Permission{Tenant: "/", Configure: "^app", Write: ".*"}) {
		t.Errorf("users: %+v", users)
	}
	login := func(name, password string) func(*http.Request) {
		return func(r *http.Request) {
			r.RemoteAddr = "192.0.2.7:5"
			if name != "" {
				r.SetBasicAuth(name, password)
			}
		}
	}
	rebound := func(r *http.Request) { r.Host = "evil.example:15672" }
	for _, x := range []struct {
		what   string
		change func(*http.Request)
		method string
		status int
	}{
		{"from here", func(r *http.Request) { r.Host = "[::1]:15672" }, "GET", 200},
		{"from here, with a name that leads here", rebound, "GET", 401},
		{"the same, as guest", func(r *http.Request) { rebound(r); r.SetBasicAuth("guest", "guest") }, "GET", 401},
		{"the same, as an administrator", func(r *http.Request) { rebound(r); r.SetBasicAuth("root", "root") }, "GET", 200},
		{"through a proxy", func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.7") }, "GET", 401},
		{"from elsewhere, without a name", login("", ""), "GET", 401},
		{"from elsewhere, as guest", login("guest", "guest"), "GET", 401},
		{"a wrong password", login("root", "toor"), "GET", 401},
		{"no administrator", login("app", "secret"), "GET", 403},
		{"an administrator", login("root", "root"), "GET", 200},
		{"a page from elsewhere", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, "DELETE", 403},
	} {
		c.change = x.change
		path := "/v1/users"
		if x.method == "DELETE" {
			path += "/app"
		}
		if status, got := c.do(x.method, path, ""); status != x.status {
			t.Errorf("%s: %d %s, want %d", x.what, status, got, x.status)
		}
	}
	c.change = func(r *http.Request) { r.Header.Set("Origin", "http://evil.example"); r.SetBasicAuth("root", "root") }
	if status, got := c.do("DELETE", "/api/users/app", ""); status != 403 {
		t.Errorf("a page from elsewhere whose browser knows the password: %d %s", status, got)
	}
	c.change = nil
	c.ok("DELETE", "/v1/users/app/permission", "", nil)
	c.ok("DELETE", "/v1/users/app", "", nil)
	if status, _ := c.do("DELETE", "/v1/users/app", ""); status != 404 {
		t.Errorf("deleting a user twice: %d", status)
	}
}
