package management

import (
	"maps"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp"
	"github.com/polylog-mq/polylog/internal/protocol/listen"
	"github.com/polylog-mq/polylog/internal/store"
)

// process is what this process uses.
type process struct{ files, memory, goroutines int64 }

func processNow() process {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	opened, _ := os.ReadDir("/proc/self/fd") // there is none but on Linux
	return process{int64(len(opened)), int64(m.Sys - m.HeapReleased), int64(runtime.NumGoroutine())}
}

func (a *api) nodes(q *request) { rows(q, []any{a.describeNode(q.broker)}) }

// isHere reports whether the path names this node, and answers if it does not.
func (q *request) isHere() bool {
	here := q.r.PathValue("name") == amqp.NodeName(q.broker)
	if !here {
		q.notFound()
	}
	return here
}

func (a *api) oneNode(q *request) {
	if q.isHere() {
		q.answer(a.describeNode(q.broker))
	}
}

// applications are what runs on the node.
func (a *api) applications() []map[string]string {
	return []map[string]string{{"name": "polylog", "description": "Polylog", "version": a.node.Version()}}
}

func (a *api) describeNode(b *broker.Broker) map[string]any {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h := b.Health()
	now := a.rates.serverNumbers(b, queueTotals{}, a.rates.counts())
	past := a.rates.of("", now)
	node := map[string]any{
		"sockets_total": listen.MaxConnections, "fd_total": maxFiles(),
		"net_ticktime": 0, "cluster_links": []any{}, "config_files": []any{}, "log_files": []any{}, "contexts": a.contexts(b),
		"auth_mechanisms": mechanisms, "exchange_types": exchangeTypes(), "applications": a.applications(),
		"name": amqp.NodeName(b), "type": "disc", "running": true, "being_drained": false, "partitions": []any{},
		"os_pid": strconv.Itoa(os.Getpid()), "uptime": time.Since(a.node.Started()).Milliseconds(), "processors": runtime.NumCPU(), "run_queue": 0,
		"mem_alarm": false, "mem_calculation_strategy": "allocated", "gc_num": m.NumGC, "gc_bytes_reclaimed": m.TotalAlloc - m.HeapAlloc,
		"disk_free_alarm": h.State >= store.DiskFull, "rates_mode": "basic", "enabled_plugins": []string{"rabbitmq_management"},
	}
	maps.Copy(node, past.stats(firstChurn, churnNames, now))
	for i, name := range nodeNames {
		node[name], node[name+"_details"] = now[firstOfNode+i], past.detail(firstOfNode+i, 0)
	}
	return node
}

// nodeMemory breaks the memory of the process down, by the names of RabbitMQ's
// parts that fit.
func (a *api) nodeMemory(q *request) {
	if !q.isHere() {
		return
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	held := m.Sys - m.HeapReleased
	q.answer(map[string]any{"memory": map[string]any{
		"binary": m.HeapInuse, "other_proc": m.StackInuse, "other_system": m.MSpanSys + m.MCacheSys + m.BuckHashSys + m.GCSys + m.OtherSys,
		"allocated_unused": m.HeapIdle - m.HeapReleased, "reserved_unallocated": 0, "strategy": "allocated",
		"total": map[string]uint64{"erlang": held, "rss": held, "allocated": held},
	}})
}
