package admin

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/server"
)

// registry holds the process's own metrics and the server's. Nothing is
// counted for them: a scrape reads the counters that the floors below keep
// anyway.
func registry(s *server.Server) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&collector{s},
	)
	registerRabbit(r, &rabbitCollector{s, false})
	return r
}

type collector struct{ server *server.Server }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("polylog_"+name, help, labels, nil)
}

var (
	buildInfo = desc("build_info", "What runs; always 1.", "version", "go")
	uptime    = desc("uptime_seconds", "Time since the server was started.")
	state     = desc("ready", "1 while clients are served.")

	topics     = desc("topics", "Topics.")
	partitions = desc("partitions", "Partitions of all topics.")

	diskFree  = desc("disk_free_bytes", "Free space of the disk that holds the data folder.")
	diskTotal = desc("disk_total_bytes", "Size of the disk that holds the data folder.")
	diskState = desc("disk_state", "0 ok, 1 filling up, 2 full (produces are refused), 3 failed.")
	debt      = desc("rewrite_debt_ratio", "Files that wait to be rewritten, as a share of what is allowed; at 1 producers wait.")

	appended    = desc("wal_appended_bytes_total", "Entries given to the write-ahead log.")
	flushes     = desc("wal_flushes_total", "Writes of the write-ahead log, each with one sync.")
	read        = desc("read_bytes_total", "Record bytes read, from memory or from files.", "from")
	written     = desc("written_bytes_total", "Bytes written beside the one write of every record.", "by")
	checkpoints = desc("checkpoints_total", "Checkpoints made.")
	rewrites    = desc("rewrites_total", "Rewrites of level 0 files finished.")
	compactions = desc("compactions_total", "Compactions of a partition finished.")
	compacted   = desc("compacted_bytes_total", "Record bytes that compaction has removed.")
	compactedAt = desc("compaction_last_timestamp_seconds", "When the last compaction was finished, since the Unix epoch; 0: none since the start.")
	dirtyRatio  = desc("compaction_max_dirty_ratio", "The largest share of uncompacted bytes among compacted partitions, as of the last look.")
	freed       = desc("files_freed_total", "Files given back for reuse.")

	files  = desc("files", "Files of the store.", "kind")
	bytes  = desc("file_bytes", "Size of the store's files.", "kind")
	wanted = desc("wanted_bytes", "Record bytes that are still kept for somebody.")
	tail   = desc("tail_bytes", "Entries held in memory for readers at the end.")
)

// Describe sends nothing: the collector's metrics are not checked in advance,
// since most come only once the data folder is open.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the counters.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.server
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(buildInfo, 1, s.Version(), runtime.Version())
	gauge(uptime, time.Since(s.Started()).Seconds())
	serving := 0.0
	if s.State() == server.Serving {
		serving = 1
	}
	gauge(state, serving)
	if b := s.Broker(); b != nil {
		collectBroker(b, gauge)
		c.collectStore(ch, gauge)
	}
}

func collectBroker(b *broker.Broker, gauge func(*prometheus.Desc, float64, ...string)) {
	var nt, np int
	for t := range b.Topics() {
		nt++
		np += len(t.Partitions)
	}
	gauge(topics, float64(nt))
	gauge(partitions, float64(np))
	h := b.Health()
	gauge(diskFree, float64(h.Free))
	gauge(diskTotal, float64(h.Total))
	gauge(diskState, float64(h.State))
	gauge(debt, h.Debt)
}

func (c *collector) collectStore(ch chan<- prometheus.Metric, gauge func(*prometheus.Desc, float64, ...string)) {
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	st := c.server.Store()
	n := st.Stats()
	count(appended, n.Appended.Load())
	count(flushes, n.Flushes.Load())
	count(read, n.TailReads.Load(), "memory")
	count(read, n.FileReads.Load(), "files")
	count(written, n.IndexWritten.Load(), "index")
	count(written, n.RewriteWritten.Load(), "rewrite")
	count(written, n.CheckpointWritten.Load(), "checkpoint")
	count(checkpoints, n.Checkpoints.Load())
	count(rewrites, n.Rewrites.Load())
	count(compactions, n.Compactions.Load())
	count(compacted, n.Compacted.Load())
	gauge(compactedAt, float64(n.LastCompaction.Load())/1000)
	gauge(dirtyRatio, float64(n.DirtyPermille.Load())/1000)
	count(freed, n.FilesFreed.Load())
	u := st.Usage()
	gauge(files, float64(u.WALFiles), "wal")
	gauge(files, float64(u.SegmentFiles), "segment")
	gauge(bytes, float64(u.WALBytes), "wal")
	gauge(bytes, float64(u.SegmentBytes), "segment")
	gauge(bytes, float64(u.IndexBytes), "index")
	gauge(wanted, float64(u.Wanted))
	gauge(tail, float64(u.Tail))
}
