package admin

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/config"
	"github.com/polylog-mq/polylog/internal/server"
)

// start starts a server that keeps its data in memory.
func start(t *testing.T) *server.Server {
	t.Helper()
	c := config.Default()
	c.Data.Dir, c.Data.Shards, c.Kafka.Listen, c.AMQP.Listen, c.HTTP.Listen = "data", 2, "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	s, err := server.Start(t.Context(), server.Options{Config: c, Version: "v1", FS: vfs.NewMem(), HTTP: New})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(body)
}

func TestServing(t *testing.T) {
	s := start(t)
	h := New(s)
	for _, c := range []struct {
		path   string
		status int
		want   []string
	}{
		{"/livez", 200, []string{"ok\n"}},
		{"/readyz", 200, []string{"ok\n"}},
		{"/v1/node", 200, []string{`"version": "v1"`, `"state": "serving"`, `"kafka": "127.0.0.1:`, `"node": 1`, `"state": "ok"`}},
		{"/v1/nothing", 404, []string{"there is no GET /v1/nothing"}},
		{"/nothing", 404, nil},
		{"/", 200, []string{"/metrics"}},
		{"/metrics", 200, []string{
			`polylog_build_info{go="go`, "polylog_ready 1", "polylog_topics 0", "polylog_wal_flushes_total", "polylog_disk_state 0",
			`polylog_files{kind="wal"}`, "process_resident_memory_bytes", "go_goroutines",
		}},
	} {
		status, body := get(t, h, c.path)
		if status != c.status {
			t.Errorf("%s: status %d, want %d", c.path, status, c.status)
		}
		for _, want := range c.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no mention of %q in\n%.2000s", c.path, want, body)
			}
		}
	}
	s.Stop()
	if status, body := get(t, h, "/readyz"); status != 503 || body != "the server is stopping\n" {
		t.Errorf("/readyz of a stopped server: %d %q", status, body)
	}
	if status, _ := get(t, h, "/livez"); status != 200 {
		t.Errorf("/livez of a server that stops: %d", status)
	}
}

// TestRecovering: everything answers before the data folder is open.
func TestRecovering(t *testing.T) {
	h := New(&server.Server{})
	if status, body := get(t, h, "/readyz"); status != 503 || body != "the server is starting\n" {
		t.Errorf("/readyz: %d %q", status, body)
	}
	if status, _ := get(t, h, "/livez"); status != 200 {
		t.Errorf("/livez: %d", status)
	}
	if status, body := get(t, h, "/metrics"); status != 200 || !strings.Contains(body, "polylog_ready 0") {
		t.Errorf("/metrics: %d", status)
	}
	status, body := get(t, h, "/v1/node")
	var n node
	if err := json.Unmarshal([]byte(body), &n); err != nil || status != 200 || n.State != "starting" || n.Disk != nil {
		t.Errorf("/v1/node: %d %s (%v)", status, body, err)
	}
}
