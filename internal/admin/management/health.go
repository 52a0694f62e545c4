package management

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp"
	"github.com/polylog-mq/polylog/internal/protocol/listen"
	"github.com/polylog-mq/polylog/internal/store"
)

// aliveness says that messages go in and out of a vhost. It writes none: what
// would keep it from working is known.
func (a *api) aliveness(q *request) {
	if _, ok := q.tenants(); !ok {
		return
	}
	if why := alarm(q.broker); why != "" {
		fail(q.w, http.StatusServiceUnavailable, "failed", why)
		return
	}
	q.healthy(nil)
}

// alarm says what keeps producers out, "" if nothing does.
func alarm(b *broker.Broker) string {
	switch h := b.Health(); {
	case h.State >= store.Dead:
		return "the storage has failed"
	case h.State >= store.DiskFull:
		return "the disk is full: publishers are blocked"
	}
	return ""
}

func (a *api) checkAlarms(q *request) {
	if why := alarm(q.broker); why != "" {
		q.unhealthy(why, map[string]any{"alarms": []any{map[string]string{"node": amqp.NodeName(q.broker), "resource": "disk"}}})
		return
	}
	q.healthy(nil)
}

// healthy and unhealthy answer a check.
func (q *request) healthy(with map[string]any) {
	answer := map[string]any{"status": "ok"}
	maps.Copy(answer, with)
	q.answer(answer)
}

func (q *request) unhealthy(reason string, with map[string]any) {
	answer := map[string]any{"status": "failed", "reason": reason}
	maps.Copy(answer, with)
	write(q.w, http.StatusServiceUnavailable, answer)
}

// checkFine answers checks of what cannot be wrong here, as long as requests are
// answered at all.
func (a *api) checkFine(q *request) { q.healthy(nil) }

// checkAlone answers whether queues would be lost with this node: none depends on
// others.
func (a *api) checkAlone(q *request) { q.healthy(map[string]any{"reason": "single node cluster"}) }

func (a *api) checkService(q *request) {
	if q.broker == nil {
		q.unhealthy("this rabbit node is not currently available to serve", nil)
		return
	}
	q.healthy(nil)
}

func (a *api) checkConnections(q *request) {
	open := a.rates.counts().Connections
	numbers := map[string]any{"limit": listen.MaxConnections, "connections": open}
	if open >= listen.MaxConnections {
		q.unhealthy("node connection limit is reached", numbers)
		return
	}
	q.healthy(numbers)
}

// checkReady is for load balancers: whether AMQP's clients are served.
func (a *api) checkReady(q *request) {
	switch open := a.rates.counts().Connections; {
	case q.broker == nil:
		q.unhealthy("the rabbit node is not currently available to serve", nil)
	case a.node.AMQP() == nil:
		q.unhealthy("no active listeners for AMQP/AMQPS", nil)
	case open >= listen.MaxConnections:
		q.unhealthy("node connection limit is reached", map[string]any{"connections": open})
	default:
		q.healthy(nil)
	}
}

// spans are the units of certificate-expiration.
var spans = map[string]int{"days": 1, "weeks": 7, "months": 30, "years": 365}

func (a *api) checkCertificates(q *request) {
	n, err := strconv.Atoi(q.r.PathValue("within"))
	days := spans[q.r.PathValue("unit")]
	switch {
	case days == 0:
		fail(q.w, http.StatusBadRequest, "bad_request", "Time unit not recognised. Supported units: days, weeks, months, years.")
		return
	case err != nil || n < 0 || n > 100_000:
		fail(q.w, http.StatusBadRequest, "bad_request", "Invalid expiration value.")
		return
	}
	soon, expired := time.Now().AddDate(0, 0, n*days), []any{}
	for _, l := range a.node.Listening() {
		if l.TLS && l.Expires.Before(soon) {
			host, port := hostPort(l.Address)
			expired = append(expired, map[string]any{
				"node": amqp.NodeName(q.broker), "protocol": secured[l.Protocol], "interface": host, "port": port,
				"cert_expires_on": l.Expires.UTC().Format(time.RFC3339),
			})
		}
	}
	if len(expired) > 0 {
		q.unhealthy("Certificates expiring", map[string]any{"expired": expired})
		return
	}
	q.healthy(nil)
}

func (a *api) checkPort(q *request) {
	port, err := strconv.Atoi(q.r.PathValue("port"))
	if err != nil {
		fail(q.w, http.StatusBadRequest, "bad_request", "Invalid port")
		return
	}
	ports := []int{}
	for _, l := range a.listeners(q.broker) {
		ports = append(ports, l.Port)
	}
	if !slices.Contains(ports, port) {
		q.unhealthy("No active listener", map[string]any{"missing": port, "ports": ports})
		return
	}
	q.healthy(map[string]any{"port": port})
}

// protocolNames are other names by which protocols may be asked for.
var protocolNames = map[string]string{
	"amqp091": "amqp", "amqp0.9.1": "amqp", "amqp-0-9-1": "amqp", "amqps": "amqp/ssl", "amqp/tls": "amqp/ssl", "http/ssl": "https",
}

func (a *api) checkProtocol(q *request) {
	asked := q.r.PathValue("protocol")
	name, spoken := cmp.Or(protocolNames[asked], asked), []string{}
	for _, l := range a.listeners(q.broker) {
		spoken = append(spoken, l.Protocol)
	}
	if !slices.Contains(spoken, name) {
		q.unhealthy("No active listener", map[string]any{"missing": name, "protocols": spoken})
		return
	}
	q.healthy(map[string]any{"protocol": name})
}
