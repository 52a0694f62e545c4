package oracle

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/test/harness"
)

var moving = flag.Bool("definitions", false, "move definitions from RabbitMQ to Polylog and back")

// everything is what a RabbitMQ is filled with before its definitions move.
var everything = [][2]string{
	{"vhosts/shop", `{}`},
	{"users/app", `{"password":"s3cret","tags":"management"}`},
	{"users/ops", `{"password":"ops","tags":"administrator,monitoring"}`},
	{"permissions/shop/app", `{"configure":"^app-","write":".*","read":".*"}`},
	{"permissions/shop/guest", `{"configure":".*","write":".*","read":".*"}`},
	{"topic-permissions/shop/app", `{"exchange":"events","write":"^app\\.","read":".*"}`},
	{"vhost-limits/shop/max-queues", `{"value":100}`},
	{"user-limits/app/max-channels", `{"value":200}`},
	{"exchanges/shop/fan", `{"type":"fanout","durable":true}`},
	{"exchanges/shop/events", `{"type":"topic","durable":true,"arguments":{"alternate-exchange":"fan"}}`},
	{"exchanges/shop/inner", `{"type":"headers","durable":true,"internal":true}`},
	{"queues/shop/orders", `{"durable":true,"arguments":{"x-queue-type":"quorum","x-delivery-limit":5,"x-dead-letter-exchange":""}}`},
	{"queues/shop/prio", `{"durable":true,"arguments":{"x-max-priority":10,"x-message-ttl":60000}}`},
	{"queues/shop/custom", `{"durable":true,"arguments":{"my-arg":{"a":[1,"x",true,1.5]},"x-overflow":"reject-publish"}}`},
	{"bindings/shop/e/events/q/orders", `{"routing_key":"orders.#","arguments":{}}`},
	{"bindings/shop/e/inner/q/prio", `{"routing_key":"","arguments":{"x-match":"all","n":5}}`},
	{"bindings/shop/e/fan/e/inner", `{"routing_key":"k","arguments":{}}`},
	{"policies/shop/ttl", `{"pattern":"^orders","definition":{"message-ttl":3600000},"priority":3,"apply-to":"queues"}`},
	{"operator-policies/shop/cap", `{"pattern":".*","definition":{"max-length":100000},"priority":1,"apply-to":"queues"}`},
	{"global-parameters/mine", `{"value":{"x":[1]}}`},
}

// api makes a request to a management API as guest.
func api(t *testing.T, method, url, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("guest", "guest")
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s %s %v", method, url, answer.Status, got, err)
	}
	return string(got)
}

// listed returns the definitions of each kind, a text each, sorted: without what
// is a cluster's own, or a matter of versions.
func listed(t *testing.T, definitions string) map[string][]string {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(definitions), &all); err != nil {
		t.Fatal(err)
	}
	lists := map[string][]string{}
	for _, kind := range []string{
		"users", "vhosts", "permissions", "topic_permissions", "parameters", "global_parameters", "policies", "exchanges", "queues", "bindings",
	} {
		items, _ := all[kind].([]any)
		for _, item := range items {
			o := item.(map[string]any)
			if name, _ := o["name"].(string); kind == "global_parameters" && name != "mine" {
				continue
			}
			if kind == "vhosts" {
				o = map[string]any{"name": o["name"]}
			}
			b, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			lists[kind] = append(lists[kind], string(b))
		}
		slices.Sort(lists[kind])
	}
	return lists
}

// TestDefinitionsMove has the definitions of a real RabbitMQ imported, and brings
// them back to another.
func TestDefinitionsMove(t *testing.T) {
	if !*moving {
		t.Skip("-definitions starts RabbitMQ")
	}
	var rabbits [2]string
	for i := range rabbits {
		_, api, stop, err := startRabbit(t.TempDir())
		if err != nil {
			t.Skip(err)
		}
		t.Cleanup(stop)
		rabbits[i] = api
	}
	polylog := harness.Start(t).HTTP() + "/api/"
	for _, put := range everything {
		method := "PUT"
		if strings.HasPrefix(put[0], "bindings/") {
			method = "POST"
		}
		api(t, method, rabbits[0]+put[0], put[1])
	}
	for from, to := rabbits[0], polylog; from != rabbits[1]; from, to = to, rabbits[1] {
		exported := api(t, "GET", from+"definitions", "")
		api(t, "POST", to+"definitions", exported)
		want, got := listed(t, exported), listed(t, api(t, "GET", to+"definitions", ""))
		for kind := range want {
			if fmt.Sprint(got[kind]) != fmt.Sprint(want[kind]) {
				t.Errorf("%s from %s:\n%s\nand in %s:\n%s", kind, from, strings.Join(want[kind], "\n"), to, strings.Join(got[kind], "\n"))
			}
		}
	}
}
