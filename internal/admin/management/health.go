package management

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
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
	q.answer(map[string]string{"status": "ok"})
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
		write(q.w, http.StatusServiceUnavailable, map[string]any{
			"status": "failed", "reason": why, "alarms": []any{map[string]string{"node": nodeName(q.broker), "resource": "disk"}},
		})
		return
	}
	q.answer(map[string]string{"status": "ok"})
}

// checkFine answers checks of what cannot be wrong here: no queue depends on
// another node.
func (a *api) checkFine(q *request) { q.answer(map[string]string{"status": "ok"}) }

// spans are the units of certificate-expiration.
var spans = map[string]int{"days": 1, "weeks": 7, "months": 30, "years": 365}

func (a *api) checkCertificates(q *request) {
	n, err := strconv.Atoi(q.r.PathValue("within"))
	days := spans[strings.TrimSuffix(q.r.PathValue("unit"), "s")+"s"]
	if err != nil || n < 0 || n > 100_000 || days == 0 {
		fail(q.w, http.StatusBadRequest, "bad_request", "write a number of days, weeks, months or years")
		return
	}
	soon, expired := time.Now().AddDate(0, 0, n*days), []any{}
	for _, l := range a.node.Listening() {
		if l.TLS && l.Expires.Before(soon) {
			host, port := hostPort(l.Address)
			expired = append(expired, map[string]any{
				"node": nodeName(q.broker), "protocol": secured[l.Protocol], "interface": host, "port": port,
				"cert_expires_on": l.Expires.UTC().Format(time.RFC3339),
			})
		}
	}
	if len(expired) > 0 {
		write(q.w, http.StatusServiceUnavailable, map[string]any{"status": "failed", "reason": "Certificates expiring", "expired": expired})
		return
	}
	q.answer(map[string]string{"status": "ok"})
}

func (a *api) checkPort(q *request) {
	for _, l := range a.listeners(q.broker) {
		if strconv.Itoa(l.Port) == q.r.PathValue("port") {
			q.answer(map[string]any{"status": "ok", "port": l.Port})
			return
		}
	}
	write(q.w, http.StatusServiceUnavailable, map[string]any{"status": "failed", "reason": "No active listener", "missing": q.r.PathValue("port")})
}

// protocolNames are other names by which protocols may be asked for.
var protocolNames = map[string]string{
	"amqp091": "amqp", "amqp0.9.1": "amqp", "amqp-0-9-1": "amqp", "amqps": "amqp/ssl", "amqp/tls": "amqp/ssl", "http/ssl": "https",
}

func (a *api) checkProtocol(q *request) {
	name := q.r.PathValue("protocol")
	for _, l := range a.listeners(q.broker) {
		if l.Protocol == cmp.Or(protocolNames[name], name) {
			q.answer(map[string]string{"status": "ok", "protocol": name})
			return
		}
	}
	write(q.w, http.StatusServiceUnavailable, map[string]any{"status": "failed", "reason": "No active listener", "missing": name})
}
