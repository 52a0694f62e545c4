package admin

import (
	"flag"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/internal/server"
)

// overview are the families that RabbitMQ's Overview dashboard asks for and that
// have a meaning here; those of Erlang and of its memory alarm have none.
var overview = strings.Fields(`
	rabbitmq_queue_messages_ready rabbitmq_queue_messages_unacked rabbitmq_queues rabbitmq_connections rabbitmq_channels
	rabbitmq_global_messages_received_total rabbitmq_global_messages_received_confirm_total rabbitmq_global_messages_confirmed_total
	rabbitmq_global_messages_routed_total rabbitmq_global_messages_unroutable_dropped_total rabbitmq_global_messages_unroutable_returned_total
	rabbitmq_global_messages_delivered_consume_auto_ack_total rabbitmq_global_messages_delivered_consume_manual_ack_total
	rabbitmq_global_messages_delivered_get_auto_ack_total rabbitmq_global_messages_delivered_get_manual_ack_total
	rabbitmq_global_messages_redelivered_total rabbitmq_global_messages_acknowledged_total rabbitmq_global_messages_get_empty_total
	rabbitmq_global_publishers rabbitmq_global_consumers rabbitmq_identity_info rabbitmq_build_info
	rabbitmq_connections_opened_total rabbitmq_connections_closed_total rabbitmq_channels_opened_total rabbitmq_channels_closed_total
	rabbitmq_queues_declared_total rabbitmq_queues_created_total rabbitmq_queues_deleted_total
	rabbitmq_disk_space_available_bytes rabbitmq_process_resident_memory_bytes rabbitmq_process_open_fds rabbitmq_process_max_fds
	rabbitmq_process_open_tcp_sockets rabbitmq_process_max_tcp_sockets`)

func scrape(t *testing.T, s *server.Server, path string) string {
	t.Helper()
	w := httptest.NewRecorder()
	New(s).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	if w.Code != 200 {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

func TestOverviewDashboard(t *testing.T) {
	s := start(t)
	h := New(s)
	for _, call := range [][2]string{
		{"/api/queues/%2F/q", "PUT"}, {"/api/queues/%2F/q", "PUT"}, {"/api/exchanges/%2F/amq.default/publish", "POST"},
	} {
		r := httptest.NewRequest(call[1], call[0], strings.NewReader(`{"routing_key":"q","payload":"x","payload_encoding":"string","properties":{}}`))
		r.SetBasicAuth("guest", "guest")
		r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1"
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code/100 != 2 {
			t.Fatalf("%v: %d %s", call, w.Code, w.Body)
		}
	}
	all := scrape(t, s, "/metrics")
	for _, family := range overview {
		if !strings.Contains(all, "\n"+family+" ") && !strings.Contains(all, "\n"+family+"{") {
			t.Errorf("no %s", family)
		}
	}
	each := scrape(t, s, "/metrics/per-object")
	for want, in := range map[string]string{
		"\nrabbitmq_queue_messages_ready 1\n":                         all,
		"\nrabbitmq_global_messages_received_total 1\n":               all,
		"\nrabbitmq_queues_declared_total 2\n":                        all,
		"\nrabbitmq_queues_created_total 1\n":                         all,
		`rabbitmq_queue_messages_ready{queue="q",vhost="/"} 1` + "\n": each,
		`rabbitmq_cluster="polylog"`:                                  each,
	} {
		if !strings.Contains(in, want) {
			t.Errorf("no %q", want)
		}
	}
}

var rewrite = flag.Bool("rewrite", false, "rewrite the list of families in docs/protocol/management.md")

// TestFamiliesDocumented holds the list of families against the documentation's.
func TestFamiliesDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("| Family | Is |\n|---|---|\n")
	for _, f := range rabbitFamilies {
		b.WriteString("| `rabbitmq_" + f.name + "` | " + f.help + " |\n")
	}
	for _, f := range queueFamilies {
		b.WriteString("| `rabbitmq_" + f.name + "` | " + f.help + " |\n")
	}
	const path = "../../docs/protocol/management.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	place := regexp.MustCompile(`(?s)(<!-- families: begin -->\n).*(\n<!-- families: end -->)`)
	if !place.Match(text) {
		t.Fatalf("%s has no place for the list of families", path)
	}
	want := place.ReplaceAllString(string(text), "${1}\n"+b.String()+"${2}")
	switch {
	case want == string(text):
	case !*rewrite:
		t.Fatalf("%s is out of date: go test ./internal/admin -run FamiliesDocumented -rewrite", path)
	default:
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
