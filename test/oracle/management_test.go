package oracle

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/polylog-mq/polylog/test/harness"
)

var shaping = flag.Bool("management", false, "hold the fields of the management API with RabbitMQ's")

// shown are the paths whose answers are compared. {node} is the node's name,
// {connection} that of the one connection.
var shown = []string{
	"overview", "whoami", "cluster-name", "nodes", "nodes/{node}", "nodes/{node}/memory", "vhosts", "vhosts/shop",
	"vhosts/shop/permissions", "vhosts/shop/topic-permissions", "vhosts/shop/connections", "vhosts/shop/channels",
	"exchanges", "exchanges/shop", "exchanges/shop/events", "exchanges/shop/events/bindings/source", "exchanges/shop/inner/bindings/destination",
	"queues", "queues/shop", "queues/shop/prio", "queues/shop/orders", "queues/shop/log", "queues/shop/orders/bindings", "queues?page=1&page_size=2",
	"bindings", "bindings/shop", "bindings/shop/e/events/q/orders", "bindings/shop/e/inner/q/prio", "bindings/shop/e/events/q/orders/orders.%23",
	"connections", "connections/{connection}", "connections/{connection}/channels", "connections/username/guest",
	"channels", "channels/{connection} (1)", "consumers", "consumers/shop",
	"users", "users/app", "users/app/permissions", "users/app/topic-permissions", "permissions", "permissions/shop/app",
	"topic-permissions", "topic-permissions/shop/app", "policies", "policies/shop", "policies/shop/ttl",
	"operator-policies", "operator-policies/shop/cap", "parameters", "parameters/vhost-limits", "global-parameters", "global-parameters/mine",
	"vhost-limits", "vhost-limits/shop", "user-limits", "user-limits/app", "feature-flags", "definitions", "definitions/shop",
	"aliveness-test/shop", "healthchecks/node", "health/checks/alarms", "health/checks/local-alarms", "health/checks/virtual-hosts",
	"health/checks/node-is-quorum-critical", "health/checks/node-is-mirror-sync-critical", "health/checks/certificate-expiration/1/months",
	"health/checks/certificate-expiration/x/months", "health/checks/port-listener/x", "health/checks/port-listener/1",
	"health/checks/protocol-listener/amqp", "health/checks/protocol-listener/mqtt",
	"queues/shop/missing", "queues/missing", "exchanges/shop/missing", "vhosts/missing", "users/missing", "permissions/shop/missing",
	"policies/shop/missing", "queues?page=0", "queues?page=x", "queues?page=99", "channels/missing", "connections/missing", "nothing",
}

// absent are the fields of RabbitMQ's that are not here, each with what is behind
// it, and why. A field is written as path and name, [] for each of a list.
var absent = []struct{ field, why string }{
	{`garbage_collection|reductions|gc_[a-z_]*_details|context_switches|run_queue`, "Erlang's processes"},
	{`cowboy_opts|ssl_opts|socket_opts`, "options of Erlang's servers"},
	{`io_[a-z_]+|msg_store_[a-z_]+|queue_index_[a-z_]+|mnesia_[a-z_]+|ra_[a-z_]+|metrics_gc_queue_length|pending_raft_commands`, "parts of RabbitMQ's storage"},
	{`disk_reads|disk_writes|backing_queue_status|open_files|readers|recoverable_slaves`, "parts of RabbitMQ's storage"},
	{`memory\.[a-z_]+`, "parts of RabbitMQ's memory"},
	{`mem_limit|proc_total|disk_free_limit|db_dir`, "there is no such limit; where data is, is for the operator alone"},
	{`internal_purpose|release_series_support_status|javascript`, "nobody but its own pages reads it"},
	{`consumer_capacity|consumer_utilisation|head_message_timestamp|idle_since`, "not measured"},
	{`exclusive_consumer_tag|single_active_consumer_c?tag`, "consumer_details has it"},
	{`message_bytes_(ready|unacknowledged|dlx)|messages_dlx`, "bytes are counted together; dead letters are not held apart"},
	{`deliver_no_ack|get|get_no_ack|get_empty`, "of queues: counted with deliver_get"},
	{`user_who_performed_action`, "not kept of exchanges"},
	{`recv_oct|send_oct|default_queue_type`, "of vhosts: not counted by them"},
	{`ssl_hash|ssl_key_exchange`, "with TLS 1.3 they are in the name of the cipher"},
}

// fieldsOf collects the fields of a value by path, with the kinds of their values.
func fieldsOf(v any, path string, fields map[string][]string) {
	switch v := v.(type) {
	case map[string]any:
		for name, field := range v {
			at := path + name
			if strings.Contains(name, "@") { // a node's
				at = path + "{node}"
			}
			fields[at] = append(fields[at], fmt.Sprintf("%T", field))
			fieldsOf(field, at+".", fields)
		}
	case []any:
		for _, item := range v {
			fieldsOf(item, path+"[].", fields)
		}
	}
}

// managed is one server whose API is looked at.
type managed struct {
	api, node, connection string
}

// furnished fills a server, and keeps a connection to it that works.
func furnished(t *testing.T, base, address string) *managed {
	t.Helper()
	m := &managed{api: base}
	for _, put := range everything {
		method := "PUT"
		if strings.HasPrefix(put[0], "bindings/") {
			method = "POST"
		}
		api(t, method, base+put[0], put[1])
	}
	api(t, "PUT", base+"queues/shop/log", `{"durable":true,"arguments":{"x-queue-type":"stream"}}`)
	c, err := amqp091.DialConfig("amqp://guest:guest@"+address+"/", amqp091.Config{Vhost: "shop", Properties: amqp091.Table{"connection_name": "shape"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{ch.Confirm(false), ch.Qos(10, 0, false)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range []string{"orders", "prio"} {
		if _, err := ch.Consume(q, "tag-"+q, false, false, false, false, amqp091.Table{"x-priority": 1}); err != nil {
			t.Fatal(err)
		}
		if err := ch.Publish("", q, false, false, amqp091.Publishing{Body: []byte("x"), DeliveryMode: 2}); err != nil {
			t.Fatal(err)
		}
	}
	var nodes []struct{ Name string }
	if err := json.Unmarshal([]byte(api(t, "GET", base+"nodes", "")), &nodes); err != nil {
		t.Fatal(err)
	}
	m.node = nodes[0].Name
	for began := time.Now(); ; <-time.After(100 * time.Millisecond) { // RabbitMQ tells of new connections after a while
		var open []struct {
			Name     string
			Channels int
		}
		if err := json.Unmarshal([]byte(api(t, "GET", base+"connections", "")), &open); err != nil {
			t.Fatal(err)
		}
		if len(open) == 1 && open[0].Channels == 1 {
			m.connection = open[0].Name
			return m
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("connections: %v", open)
		}
	}
}

// look returns the status and the fields of a path.
func (m *managed) look(t *testing.T, path string) (status int, fields map[string][]string) {
	t.Helper()
	path = strings.NewReplacer("{node}", m.node, "{connection}", m.connection).Replace(path)
	path = strings.ReplaceAll(path, " ", "%20")
	r, err := http.NewRequestWithContext(t.Context(), "GET", m.api+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("guest", "guest")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var v any
	if err := json.NewDecoder(answer.Body).Decode(&v); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	fields = map[string][]string{}
	fieldsOf(v, "", fields)
	return answer.StatusCode, fields
}

// TestManagementFields looks at every path that shows something in both servers:
// the statuses are the same, and every field of RabbitMQ's is here, with a value
// of its kind, or is listed above.
func TestManagementFields(t *testing.T) {
	if !*shaping {
		t.Skip("-management starts RabbitMQ")
	}
	address, api, stop, err := startRabbit(t.TempDir())
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(stop)
	s := harness.Start(t)
	rabbit := furnished(t, api, address)
	polylog := furnished(t, s.HTTP()+"/api/", s.Address("amqp"))
	<-time.After(6 * time.Second) // for RabbitMQ's numbers, which are up to five seconds old
	var names []string
	for _, a := range absent {
		names = append(names, a.field)
	}
	missing := regexp.MustCompile(`(^|\.)(` + strings.Join(names, "|") + `)(_details)?(\.|$)`)
	for _, path := range shown {
		status, want := rabbit.look(t, path)
		got, have := polylog.look(t, path)
		if got != status {
			t.Errorf("%s: status %d, RabbitMQ %d", path, got, status)
		}
		for _, field := range slices.Sorted(maps.Keys(want)) {
			kinds, there := have[field]
			alike := func(kind string) bool {
				return kind == "<nil>" || slices.Contains(kinds, kind) || slices.Contains(kinds, "<nil>")
			}
			switch {
			case !there && !missing.MatchString(field):
				t.Errorf("%s: no %s (%s)", path, field, want[field])
			case there && !slices.ContainsFunc(want[field], alike):
				t.Errorf("%s: %s is %s, RabbitMQ's %s", path, field, kinds, want[field])
			}
		}
	}
}
