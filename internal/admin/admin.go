// Package admin is what the server says about itself over HTTP: whether it
// lives and is ready, metrics, and its own API under /v1/.
package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/polylog-mq/polylog/internal/admin/management"
	"github.com/polylog-mq/polylog/internal/adminapi"
	"github.com/polylog-mq/polylog/internal/server"
	"github.com/polylog-mq/polylog/internal/store"
)

// New returns the handler for http.listen. It answers from the first moment,
// also while the server recovers. A page that a browser got from elsewhere
// changes nothing, even where the browser knows a password.
func New(s *server.Server) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { verdict(w, alive(s)) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { verdict(w, ready(s)) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry(s), promhttp.HandlerOpts{}))
	mux.Handle("GET /metrics/per-object", perObject(s))
	mux.HandleFunc("GET /v1/node", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, describe(s)) })
	definitions{s}.routes(mux)
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusNotFound, adminapi.Failure{Error: fmt.Sprintf("there is no %s %s", r.Method, r.URL.Path)})
	})
	mux.Handle("/api/", management.New(s))
	mux.HandleFunc("GET /{$}", index)
	return http.NewCrossOriginProtection().Handler(plain(mux))
}

// plain has browsers take the answers for what they are: data, which runs nothing
// and stands in nobody's frame.
func plain(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.ServeHTTP(w, r)
	})
}

// alive says why the process should be restarted, "" if it need not be.
func alive(s *server.Server) string {
	if s.State() == server.Failed {
		return "the server has failed: its log says why"
	}
	return ""
}

// ready says why clients should not be sent here, "" if they should.
func ready(s *server.Server) string {
	if state := s.State(); state != server.Serving {
		return "the server is " + state.String()
	}
	return ""
}

// verdict answers a probe.
func verdict(w http.ResponseWriter, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if why != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, why)
		return
	}
	fmt.Fprintln(w, "ok")
}

// node is the answer to GET /v1/node.
type node struct {
	Version   string    `json:"version"`
	State     string    `json:"state"`
	Started   time.Time `json:"started"`
	Cluster   string    `json:"cluster,omitempty"`
	Node      uint64    `json:"node,omitempty"`
	Listeners listeners `json:"listeners"`
	Disk      *disk     `json:"disk,omitempty"`
}

type listeners struct {
	Kafka    string `json:"kafka,omitempty"`
	AMQP     string `json:"amqp,omitempty"`
	HTTP     string `json:"http,omitempty"`
	KafkaTLS string `json:"kafkaTLS,omitempty"`
	AMQPTLS  string `json:"amqpTLS,omitempty"`
	HTTPTLS  string `json:"httpTLS,omitempty"`
}

type disk struct {
	State string `json:"state"` // ok, warn, full, dead
	Free  uint64 `json:"freeBytes"`
	Total uint64 `json:"totalBytes"`
}

func describe(s *server.Server) node {
	n := node{
		Version: s.Version(), State: s.State().String(), Started: s.Started().UTC(),
		Listeners: listeners{
			s.KafkaAddress(), s.AMQPAddress(), s.HTTPAddress(), s.Address("kafka", true), s.Address("amqp", true), s.Address("http", true),
		},
	}
	b := s.Broker()
	if b == nil {
		return n
	}
	n.Cluster, n.Node = uuid.UUID(b.ClusterID()).String(), uint64(b.NodeID())
	h := b.Health()
	n.Disk = &disk{diskStates[h.State], h.Free, h.Total}
	return n
}

var diskStates = map[store.HealthState]string{
	store.Healthy: "ok", store.DiskWarn: "warn", store.DiskFull: "full", store.Dead: "dead",
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(body) // the client has gone
}

// index tells who came with a browser what there is.
func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprint(w, "Polylog\n\n/livez    is the process alive\n/readyz   may clients be sent here\n/metrics  for Prometheus; /metrics/per-object has each queue\n/v1/node  what this node is\n/v1/...   queues, exchanges, bindings, tenants, users\n/api/     RabbitMQ's management API\n")
}
