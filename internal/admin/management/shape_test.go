package management_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestForm holds sorting, columns and pages with what RabbitMQ 3.10.8 answered to
// the same.
func TestForm(t *testing.T) {
	m := start(t)
	for i, q := range []string{"orders-1", "orders-2", "Orders-3", "mail", "news"} {
		m.ok(201, "PUT", "/api/queues/%2F/"+q, fmt.Sprintf(`{"durable":true,"arguments":{"x-max-length":%d}}`, 10-i))
	}
	for range 3 {
		m.ok(200, "POST", "/api/exchanges/%2F/amq.default/publish", `{"properties":{},"routing_key":"mail","payload":"x","payload_encoding":"string"}`)
	}
	for _, c := range []struct{ path, want string }{
		{"queues?columns=name", `[{"name":"Orders-3"},{"name":"mail"},{"name":"news"},{"name":"orders-1"},{"name":"orders-2"}]`},
		{"queues?columns=name&sort_reverse=true", `[{"name":"orders-2"},{"name":"orders-1"},{"name":"news"},{"name":"mail"},{"name":"Orders-3"}]`},
		{"queues?columns=name,messages&sort=messages&sort_reverse=true&page=1&page_size=1", `{"filtered_count":5,"item_count":1,"items":[{"messages":3,"name":"mail"}],"page":1,"page_count":5,"page_size":1,"total_count":5}`},
		{"queues?columns=name&sort=arguments.x-max-length&page=2&page_size=2", `{"filtered_count":5,"item_count":2,"items":[{"name":"Orders-3"},{"name":"orders-2"}],"page":2,"page_count":3,"page_size":2,"total_count":5}`},
		{"queues?columns=name&page=1&name=orders", `{"filtered_count":3,"item_count":3,"items":[{"name":"Orders-3"},{"name":"orders-1"},{"name":"orders-2"}],"page":1,"page_count":1,"page_size":100,"total_count":5}`},
		{"queues?columns=name&page=1&name=%5Eorders-%5B12%5D&use_regex=true", `{"filtered_count":2,"item_count":2,"items":[{"name":"orders-1"},{"name":"orders-2"}],"page":1,"page_count":1,"page_size":100,"total_count":5}`},
		{"queues?columns=name&page=1&name=nothing", `{"filtered_count":0,"item_count":0,"items":[],"page":1,"page_count":0,"page_size":100,"total_count":5}`},
		{"queues?columns=name&page=2&page_size=5", `{"filtered_count":5,"item_count":0,"items":[],"page":2,"page_count":1,"page_size":5,"total_count":5}`},
		{"queues?columns=name&sort=nothing&name=mail", `[{"name":"Orders-3"},{"name":"mail"},{"name":"news"},{"name":"orders-1"},{"name":"orders-2"}]`},
		{"queues/%2F/mail?columns=name,message_stats.publish", `{"message_stats":{"publish":3},"name":"mail"}`},
		{"users?columns=name&sort=name", `[{"name":"guest"}]`},
		{"vhosts?columns=name&page=1", `{"filtered_count":1,"item_count":1,"items":[{"name":"/"}],"page":1,"page_count":1,"page_size":100,"total_count":1}`},
		{"queues?page=0", `400 invalid_pagination_parameters: Invalid pagination parameters: page number 0, page size undefined`},
		{"queues?page=1&page_size=501", `400 invalid_pagination_parameters: Invalid pagination parameters: page number 1, page size 501`},
		{"queues?page=x", `400 bad_request: Pagination parameters are invalid`},
		{"queues?page=1&name=(&use_regex=true", `400 bad_request: Pagination parameters are invalid`},
		{"queues?page=9", `400 page_out_of_range: Page out of range, page: 9 page size: 100, len: 5`},
		{"health/checks/port-listener/x", `400 bad_request: Invalid port`},
		{"health/checks/certificate-expiration/1/eons", `400 bad_request: Time unit not recognised. Supported units: days, weeks, months, years.`},
	} {
		status, got := m.do("GET", "/api/"+c.path, "")
		if status != 200 {
			var refusal struct{ Error, Reason string }
			if err := json.Unmarshal([]byte(got), &refusal); err != nil {
				t.Fatalf("%s: %v in %s", c.path, err, got)
			}
			got = fmt.Sprintf("%d %s: %s", status, refusal.Error, refusal.Reason)
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.path, got, c.want)
		}
	}
	// HEAD is GET without a body, and OPTIONS says what there is.
	if got := m.ok(200, "HEAD", "/api/queues", ""); got != "" {
		t.Errorf("HEAD: %q", got)
	}
	m.ok(200, "OPTIONS", "/api/queues", "")
	m.ok(405, "PUT", "/api/queues", "")
}

// TestProbes asks the checks of health that need no password.
func TestProbes(t *testing.T) {
	m := start(t)
	m.user = ""
	for _, check := range []string{"is-in-service", "below-node-connection-limit", "ready-to-serve-clients"} {
		if body := m.ok(200, "GET", "/api/health/checks/"+check, ""); !strings.Contains(body, `"status":"ok"`) {
			t.Errorf("%s: %s", check, body)
		}
	}
	m.ok(401, "GET", "/api/health/checks/alarms", "")
}
