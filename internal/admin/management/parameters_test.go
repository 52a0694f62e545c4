package management_test

import (
	"strings"
	"testing"
)

func TestParameters(t *testing.T) {
	m := start(t)
	m.ok(201, "PUT", "/api/parameters/mine/%2F/p", `{"value":{"a":1}}`)
	m.ok(204, "PUT", "/api/parameters/mine/%2F/p", `{"value":{"a":2},"component":"mine","name":"p","vhost":"/"}`)
	if p := get[object](m, "/api/parameters/mine/%2F/p"); p["value"].(object)["a"] != 2.0 || p["component"] != "mine" || p["vhost"] != "/" {
		t.Errorf("parameter: %v", p)
	}
	for path, n := range map[string]int{
		"/api/parameters": 1, "/api/parameters/mine": 1, "/api/parameters/mine/%2F": 1, "/api/parameters/other": 0,
	} {
		if all := get[[]object](m, path); len(all) != n {
			t.Errorf("%s: %v", path, all)
		}
	}
	m.ok(400, "PUT", "/api/parameters/mine/%2F/p", `{}`)
	m.ok(404, "PUT", "/api/parameters/mine/nowhere/p", `{"value":1}`)
	m.ok(204, "DELETE", "/api/parameters/mine/%2F/p", "")
	m.ok(404, "DELETE", "/api/parameters/mine/%2F/p", "")
	m.ok(404, "GET", "/api/parameters/mine/%2F/p", "")
	for component, why := range map[string]string{
		"shovel": "there are no shovels", "federation-upstream": "no federation", "operator_policy": "policies may not be set",
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
	m.ok(204, "POST", "/api/definitions?unsupported=skip", d)
	if v := get[object](m, "/api/vhosts/v"); v["description"] != "from its metadata" || len(v["tags"].([]any)) != 1 {
		t.Errorf("vhost: %v", v)
	}
}
