package management_test

import (
	"strings"
	"testing"
)

func TestParameters(t *testing.T) {
	m := start(t)
	const limits = "/api/parameters/vhost-limits/%2F/limits"
	m.ok(201, "PUT", limits, `{"value":{"max-queues":1}}`)
	m.ok(204, "PUT", limits, `{"value":{"max-queues":2},"component":"vhost-limits","name":"limits","vhost":"/"}`)
	if p := get[object](m, limits); p["value"].(object)["max-queues"] != 2.0 || p["component"] != "vhost-limits" || p["vhost"] != "/" {
		t.Errorf("parameter: %v", p)
	}
	for path, n := range map[string]int{
		"/api/parameters": 1, "/api/parameters/vhost-limits": 1, "/api/parameters/vhost-limits/%2F": 1, "/api/parameters/other": 0,
	} {
		if all := get[[]object](m, path); len(all) != n {
			t.Errorf("%s: %v", path, all)
		}
	}
	m.ok(400, "PUT", limits, `{}`)
	m.ok(404, "PUT", "/api/parameters/vhost-limits/nowhere/limits", `{"value":{}}`)
	m.ok(204, "DELETE", limits, "")
	m.ok(404, "DELETE", limits, "")
	m.ok(404, "GET", limits, "")
	for component, why := range map[string]string{
		"shovel": "there are no shovels", "federation-upstream": "no federation", "operator_policy": "policies may not be set", "mine": "component mine not found",
	} {
		if body := m.ok(400, "PUT", "/api/parameters/"+component+"/%2F/p", `{"value":{}}`); !strings.Contains(body, why) {
			t.Errorf("%s: %s", component, body)
		}
	}
	get[[]object](m, "/api/shovels/%2F")
	get[[]object](m, "/api/federation-links")
}

func TestGlobalParameters(t *testing.T) {
	m := start(t)
	m.ok(201, "PUT", "/api/global-parameters/g", `{"value":[1]}`)
	m.ok(204, "PUT", "/api/global-parameters/g", `{"value":null}`)
	if g := get[object](m, "/api/global-parameters/g"); g["value"] != nil || g["name"] != "g" {
		t.Errorf("global parameter: %v", g)
	}
	m.ok(204, "PUT", "/api/cluster-name", `{"name":"blue"}`)
	m.ok(400, "PUT", "/api/cluster-name", `{}`)
	m.ok(400, "PUT", "/api/global-parameters/internal_cluster_id", `{"value":"x"}`)
	if g := get[object](m, "/api/global-parameters/cluster_name"); g["value"] != "blue" {
		t.Errorf("cluster_name: %v", g)
	}
	if o := get[object](m, "/api/overview"); o["cluster_name"] != "blue" {
		t.Errorf("the overview says %v", o["cluster_name"])
	}
	if all := get[[]object](m, "/api/global-parameters"); len(all) != 3 {
		t.Errorf("global parameters: %v", all)
	}
	m.ok(204, "DELETE", "/api/global-parameters/g", "")
	m.ok(404, "DELETE", "/api/global-parameters/g", "")
	m.ok(404, "GET", "/api/global-parameters/g", "")
}

func TestLimits(t *testing.T) {
	m := start(t)
	m.ok(201, "PUT", "/api/users/u", `{"password":"p","tags":"management"}`)
	m.ok(204, "PUT", "/api/vhost-limits/%2F/max-queues", `{"value":1}`)
	m.ok(204, "PUT", "/api/user-limits/u/max-connections", `{"value":0}`)
	m.ok(400, "PUT", "/api/vhost-limits/%2F/max-fun", `{"value":1}`)
	m.ok(400, "PUT", "/api/vhost-limits/%2F/max-queues", `{"value":"many"}`)
	m.ok(404, "PUT", "/api/vhost-limits/nowhere/max-queues", `{"value":1}`)
	m.ok(404, "PUT", "/api/user-limits/nobody/max-channels", `{"value":1}`)
	if l := get[[]object](m, "/api/vhost-limits/%2F"); len(l) != 1 || l[0]["vhost"] != "/" || l[0]["value"].(object)["max-queues"] != 1.0 {
		t.Errorf("limits of the vhost: %v", l)
	}
	if l := get[[]object](m, "/api/user-limits"); len(l) != 1 || l[0]["user"] != "u" || l[0]["value"].(object)["max-connections"] != 0.0 {
		t.Errorf("limits of users: %v", l)
	}
	if p := get[object](m, "/api/parameters/vhost-limits/%2F/limits"); p["value"].(object)["max-queues"] != 1.0 {
		t.Errorf("limits as a parameter: %v", p)
	}
	if u := get[object](m, "/api/users/u"); u["limits"].(object)["max-connections"] != 0.0 {
		t.Errorf("user: %v", u)
	}

	m.ok(201, "PUT", "/api/queues/%2F/one", `{}`)
	if body := m.ok(400, "PUT", "/api/queues/%2F/two", `{}`); !strings.Contains(body, "queue limit in vhost '/' (1) is reached") {
		t.Errorf("one queue too many: %s", body)
	}
	m.ok(201, "PUT", "/api/permissions/%2F/u", `{"configure":".*","write":".*","read":".*"}`)
	u := *m
	u.user, u.password = "u", "p"
	if body := u.ok(400, "DELETE", "/api/queues/%2F/one", ""); !strings.Contains(body, "user connection limit (0) is reached") {
		t.Errorf("one connection too many: %s", body)
	}

	m.ok(204, "PUT", "/api/parameters/vhost-limits/%2F/limits", `{"value":{"max-connections":9}}`)
	if l := get[[]object](m, "/api/vhost-limits"); len(l) != 1 || len(l[0]["value"].(object)) != 1 || l[0]["value"].(object)["max-connections"] != 9.0 {
		t.Errorf("limits replaced as a parameter: %v", l)
	}
	for range 2 {
		m.ok(204, "DELETE", "/api/user-limits/u/max-connections", "")
		m.ok(204, "DELETE", "/api/vhost-limits/%2F/max-connections", "")
	}
	if l := get[[]object](m, "/api/vhost-limits"); len(l) != 0 {
		t.Errorf("limits taken away: %v", l)
	}
	u.ok(204, "DELETE", "/api/queues/%2F/one", "")
}

func TestFeatureFlags(t *testing.T) {
	m := start(t)
	flags := get[[]object](m, "/api/feature-flags")
	if len(flags) == 0 || flags[0]["state"] != "enabled" {
		t.Fatalf("flags: %v", flags)
	}
	m.ok(204, "PUT", "/api/feature-flags/"+flags[0]["name"].(string)+"/enable", "")
	m.ok(404, "PUT", "/api/feature-flags/time_travel/enable", "")
	get[[]object](m, "/api/deprecated-features")
	get[[]object](m, "/api/deprecated-features/used")
}

// TestForeignParameters: definitions with shovels are refused by name before
// anything is taken of them, or taken without.
func TestForeignParameters(t *testing.T) {
	m := start(t)
	const d = `{"vhosts":[{"name":"v","metadata":{"description":"from its metadata","tags":["a"]}}],` +
		`"parameters":[{"vhost":"v","component":"shovel","name":"s","value":{}},{"vhost":"v","component":"vhost-limits","name":"limits","value":[]}]}`
	if body := m.ok(400, "POST", "/api/definitions", d); !strings.Contains(body, "shovel 's' in vhost 'v'") {
		t.Errorf("refused: %s", body)
	}
	m.ok(404, "GET", "/api/vhosts/v", "")
	if body := m.ok(400, "POST", "/api/definitions", strings.Replace(d, "shovel", "mine", 1)); !strings.Contains(body, "component mine not found") {
		t.Errorf("refused: %s", body)
	}
	m.ok(404, "GET", "/api/vhosts/v", "")
	m.ok(204, "POST", "/api/definitions?unsupported=skip", d)
	if v := get[object](m, "/api/vhosts/v"); v["description"] != "from its metadata" || len(v["tags"].([]any)) != 1 {
		t.Errorf("vhost: %v", v)
	}
}

// TestEffectivePolicies: a queue shows which policies it obeys, and obeys them as
// soon as they change.
func TestEffectivePolicies(t *testing.T) {
	m := start(t)
	m.ok(201, "PUT", "/api/queues/%2F/q", `{}`)
	if q := get[object](m, "/api/queues/%2F/q"); q["policy"] != nil || q["operator_policy"] != nil || len(q["effective_policy_definition"].(object)) != 0 {
		t.Errorf("without policies: %v", q)
	}
	m.ok(201, "PUT", "/api/policies/%2F/p", `{"pattern":"^q","definition":{"max-length":9,"message-ttl":60000}}`)
	m.ok(201, "PUT", "/api/operator-policies/%2F/o", `{"pattern":"^q","definition":{"max-length":2}}`)
	q := get[[]object](m, "/api/queues")[0]
	e := q["effective_policy_definition"].(object)
	if q["policy"] != "p" || q["operator_policy"] != "o" || e["max-length"] != 2.0 || e["message-ttl"] != 60000.0 {
		t.Errorf("with policies: %v", q)
	}
}

// TestScaler asks what KEDA's RabbitMQ scaler asks in its HTTP mode: one queue by
// name, or those that match an expression.
func TestScaler(t *testing.T) {
	m := start(t)
	m.ok(201, "PUT", "/api/queues/%2F/work-a", `{}`)
	m.ok(201, "PUT", "/api/queues/%2F/work-b", `{}`)
	m.ok(201, "PUT", "/api/queues/%2F/other", `{}`)
	for range 3 {
		m.ok(200, "POST", "/api/exchanges/%2F/amq.default/publish", `{"routing_key":"work-a","payload":"x","payload_encoding":"string","properties":{}}`)
	}
	q := get[object](m, "/api/queues/%2F/work-a")
	rate, isRate := q["message_stats"].(object)["publish_details"].(object)["rate"].(float64)
	if q["name"] != "work-a" || q["messages"] != 3.0 || q["messages_unacknowledged"] != 0.0 || !isRate || rate < 0 {
		t.Errorf("by name: %v", q)
	}
	page := get[object](m, "/api/queues/%2F?page=1&use_regex=true&pagination=false&name=%5Ework-&page_size=100")
	items := page["items"].([]any)
	if page["filtered_count"] != 2.0 || len(items) != 2 || items[0].(object)["messages"] == nil {
		t.Errorf("by expression: %v", page)
	}
	// rabbitmqadmin writes numbers as strings.
	m.ok(200, "POST", "/api/queues/%2F/work-a/get", `{"count":"2","ackmode":"ack_requeue_true","encoding":"auto"}`)
	m.ok(400, "POST", "/api/queues/%2F/work-a/get", `{"count":"many","ackmode":"ack_requeue_true","encoding":"auto"}`)
	m.ok(404, "GET", "/api/queues/%2F/nowhere", "")
}
