package topic

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	dayMs   = "86400000"
	weekMs  = "604800000"
	maxLong = "9223372036854775807"
)

// configDefs are the topic settings of Kafka 4.2, sorted by name, with its
// types, defaults and bounds (its topic configuration reference).
var configDefs = []ConfigDef{
	{
		Name: "cleanup.policy", Type: TypeList, Default: "delete", Synonym: "log.cleanup.policy", Honoured: true,
		oneOf: []string{"compact", "delete"},
		Doc:   "What becomes of old records: \"delete\" removes whole segments when they pass the retention time or size, \"compact\" keeps the last record of each key, both do both. An empty list keeps everything.",
	},
	{
		Name: "compression.gzip.level", Type: TypeInt, Default: "-1", Synonym: "compression.gzip.level",
		min: -1, max: 9, refuse: refuseZero,
		Doc: "The compression level if compression.type is gzip: 1 to 9, or -1 for the codec's default.",
	},
	{
		Name: "compression.lz4.level", Type: TypeInt, Default: "9", Synonym: "compression.lz4.level",
		min: 1, max: 17,
		Doc: "The compression level if compression.type is lz4: 1 to 17.",
	},
	{
		Name: "compression.type", Type: TypeString, Default: "producer", Synonym: "compression.type",
		oneOf: []string{"uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"},
		Doc:   "The codec that batches are stored with; \"producer\" keeps what the producer chose.",
	},
	{
		Name: "compression.zstd.level", Type: TypeInt, Default: "3", Synonym: "compression.zstd.level",
		min: -131072, max: 22,
		Doc: "The compression level if compression.type is zstd: -131072 to 22.",
	},
	{
		Name: "delete.retention.ms", Type: TypeLong, Default: dayMs, Synonym: "log.cleaner.delete.retention.ms", Honoured: true,
		min: 0, max: math.MaxInt64,
		Doc: "How long a compacted topic keeps tombstones after they were first compacted, in ms: a reader that starts at the beginning must finish within it to see every deletion.",
	},
	{
		Name: "file.delete.delay.ms", Type: TypeLong, Default: "60000", Synonym: "log.segment.delete.delay.ms",
		min: 0, max: math.MaxInt64,
		Doc: "How long Kafka waits before it deletes a file, in ms. Polylog gives files back as soon as nothing in them is wanted.",
	},
	{
		Name: "flush.messages", Type: TypeLong, Default: maxLong, Synonym: "log.flush.interval.messages", Honoured: true,
		min: 1, max: math.MaxInt64,
		Doc: "After how many records Kafka syncs. Polylog syncs every record before it acknowledges it, so any value is met.",
	},
	{
		Name: "flush.ms", Type: TypeLong, Default: maxLong, Synonym: "log.flush.interval.ms", Honoured: true,
		min: 0, max: math.MaxInt64,
		Doc: "After how many ms Kafka syncs. Polylog syncs every record before it acknowledges it, so any value is met.",
	},
	{
		Name: "follower.replication.throttled.replicas", Type: TypeList, Default: "", refuse: refuseReplicas,
		Doc: "The replicas whose replication Kafka throttles on the follower's side: pairs partition:broker, or *.",
	},
	{
		Name: "index.interval.bytes", Type: TypeInt, Default: "4096", Synonym: "log.index.interval.bytes",
		min: 0, max: math.MaxInt32,
		Doc: "How often Kafka adds an entry to an offset index, in bytes. Polylog indexes every run of batches.",
	},
	{
		Name: "leader.replication.throttled.replicas", Type: TypeList, Default: "", refuse: refuseReplicas,
		Doc: "The replicas whose replication Kafka throttles on the leader's side: pairs partition:broker, or *.",
	},
	{
		Name: "local.retention.bytes", Type: TypeLong, Default: "-2", Synonym: "log.local.retention.bytes",
		min: -2, max: math.MaxInt64,
		Doc: "How many bytes stay on local disk once they are in tiered storage; -2 means retention.bytes. There is no tiered storage here.",
	},
	{
		Name: "local.retention.ms", Type: TypeLong, Default: "-2", Synonym: "log.local.retention.ms",
		min: -2, max: math.MaxInt64,
		Doc: "How long records stay on local disk once they are in tiered storage, in ms; -2 means retention.ms. There is no tiered storage here.",
	},
	{
		Name: "max.compaction.lag.ms", Type: TypeLong, Default: maxLong, Synonym: "log.cleaner.max.compaction.lag.ms", Honoured: true,
		min: 1, max: math.MaxInt64,
		Doc: "The longest time that a record of a compacted topic may stay uncompacted, in ms.",
	},
	{
		Name: "max.message.bytes", Type: TypeInt, Default: "1048588", Synonym: "message.max.bytes", Honoured: true,
		min: 0, max: math.MaxInt32,
		Doc: "The largest record batch that is accepted, in bytes, after compression.",
	},
	{
		Name: "message.timestamp.after.max.ms", Type: TypeLong, Default: "3600000", Synonym: "log.message.timestamp.after.max.ms", Honoured: true,
		min: 0, max: math.MaxInt64,
		Doc: "How far a producer's timestamp may lie after the broker's time, in ms. Not judged with LogAppendTime.",
	},
	{
		Name: "message.timestamp.before.max.ms", Type: TypeLong, Default: maxLong, Synonym: "log.message.timestamp.before.max.ms", Honoured: true,
		min: 0, max: math.MaxInt64,
		Doc: "How far a producer's timestamp may lie before the broker's time, in ms. Not judged with LogAppendTime.",
	},
	{
		Name: "message.timestamp.type", Type: TypeString, Default: "CreateTime", Synonym: "log.message.timestamp.type", Honoured: true,
		oneOf: []string{"CreateTime", "LogAppendTime"},
		Doc:   "Whether a record's timestamp is the producer's (CreateTime) or the time it was appended (LogAppendTime).",
	},
	{
		Name: "min.cleanable.dirty.ratio", Type: TypeDouble, Default: "0.5", Synonym: "log.cleaner.min.cleanable.ratio", Honoured: true,
		Doc: "The share of uncompacted bytes above which a compacted topic is compacted, 0 to 1.",
	},
	{
		Name: "min.compaction.lag.ms", Type: TypeLong, Default: "0", Synonym: "log.cleaner.min.compaction.lag.ms", Honoured: true,
		min: 0, max: math.MaxInt64,
		Doc: "The shortest time that a record of a compacted topic stays uncompacted, in ms.",
	},
	{
		Name: "min.insync.replicas", Type: TypeInt, Default: "1", Synonym: "min.insync.replicas",
		min: 1, max: math.MaxInt32,
		Doc: "How many replicas must hold a record that is acknowledged with acks=all. Polylog always waits for a majority.",
	},
	{
		Name: "preallocate", Type: TypeBoolean, Default: "false", Synonym: "log.preallocate",
		Doc: "Whether Kafka allocates a segment's file at once. Polylog's files are always allocated.",
	},
	{
		Name: "remote.log.copy.disable", Type: TypeBoolean, Default: "false",
		Doc: "Whether copying to tiered storage is off. There is no tiered storage here.",
	},
	{
		Name: "remote.log.delete.on.disable", Type: TypeBoolean, Default: "false",
		Doc: "Whether switching tiered storage off deletes what is there. There is no tiered storage here.",
	},
	{
		Name: "remote.storage.enable", Type: TypeBoolean, Default: "false", refuse: refuseTrue,
		Doc: "Whether the topic uses tiered storage. There is none here, so true is refused, as by a Kafka broker without it.",
	},
	{
		Name: "retention.bytes", Type: TypeLong, Default: "-1", Synonym: "log.retention.bytes", Honoured: true,
		min: math.MinInt64, max: math.MaxInt64,
		Doc: "How many bytes a partition keeps before its oldest segments are removed, with cleanup.policy delete; negative for no limit.",
	},
	{
		Name: "retention.ms", Type: TypeLong, Default: weekMs, Synonym: "log.retention.ms", Honoured: true,
		min: -1, max: math.MaxInt64,
		Doc: "How long records are kept before their segment is removed, in ms, with cleanup.policy delete; -1 for no limit.",
	},
	{
		Name: "segment.bytes", Type: TypeInt, Default: "1073741824", Synonym: "log.segment.bytes", Honoured: true,
		min: 1 << 20, max: math.MaxInt32,
		Doc: "The size of a segment. Retention removes whole segments, so smaller ones follow the limits more closely.",
	},
	{
		Name: "segment.index.bytes", Type: TypeInt, Default: "10485760", Synonym: "log.index.size.max.bytes",
		min: 4, max: math.MaxInt32,
		Doc: "The size of the file that Kafka allocates for a segment's index.",
	},
	{
		Name: "segment.jitter.ms", Type: TypeLong, Default: "0", Synonym: "log.roll.jitter.ms",
		min: 0, max: math.MaxInt64,
		Doc: "By how much Kafka varies segment.ms at random. A segment is no file here, so there is no herd to scatter.",
	},
	{
		Name: "segment.ms", Type: TypeLong, Default: weekMs, Synonym: "log.roll.ms", Honoured: true,
		min: 1, max: math.MaxInt64,
		Doc: "The span of time after which a segment is closed even if it is not full, in ms.",
	},
	{
		Name: "unclean.leader.election.enable", Type: TypeBoolean, Default: "false", Synonym: "unclean.leader.election.enable",
		Doc: "Whether a replica that may lack records can lead. Here it never can.",
	},
}

func refuseTrue(v string) error {
	if v == "true" {
		return errors.New("there is no tiered storage here")
	}
	return nil
}

func refuseZero(v string) error {
	if v == "0" {
		return errors.New("it must be -1 or between 1 and 9")
	}
	return nil
}

// refuseReplicas takes "*" or pairs partition:broker.
func refuseReplicas(v string) error {
	if v == "*" {
		return nil
	}
	for _, pair := range splitList(v) {
		partition, broker, ok := strings.Cut(pair, ":")
		_, errP := strconv.ParseUint(partition, 10, 31)
		_, errB := strconv.ParseUint(broker, 10, 31)
		if !ok || errP != nil || errB != nil {
			return fmt.Errorf("%q is not a pair partition:broker", pair)
		}
	}
	return nil
}
