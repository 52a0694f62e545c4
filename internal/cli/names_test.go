package cli

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestNamesFromTheServer: completion offers what there is, where something that
// exists is meant; who names what does not exist is told how to see what does.
func TestNamesFromTheServer(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + r.URL.Path {
		case "GET/v1/queues":
			_, _ = w.Write([]byte(`[{"name":"failed"},{"name":"work"}]`))
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"error":"no queue 'wrk' in vhost '/'"}`))
		}
	}))
	defer s.Close()
	environ := []string{httpEnv + "=" + s.URL}
	for command, want := range map[string]bool{"queue describe": true, "queue redrive": true, "schedule list": true, "queue create": false, "exchange delete": false} {
		out, _, _ := run(t, environ, append(append([]string{"__complete"}, strings.Fields(command)...), "")...)
		if got := strings.Contains(out, "failed\nwork\n"); got != want {
			t.Errorf("%s: %q", command, out)
		}
	}
	if _, errs, code := run(t, environ, "queue", "describe", "wrk"); code != exitNotFound || !strings.Contains(errs, "'polylog queue list' shows what there is") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
