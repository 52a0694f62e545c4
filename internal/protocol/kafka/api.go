package kafka

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/polylog-mq/polylog/internal/protocol/kafka/wire"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// api is a row of the table of operations.
type api struct {
	key  int16
	name string
	// served are the versions that are answered.
	served versions
	// advertised are the versions that ApiVersions lists; they differ from
	// those served only where a client in the field needs to see more, and the
	// row says which.
	advertised versions
	// when says who handles the call.
	when stage
	// needs lists what a caller must be allowed to do. Every handler asks for
	// each of them, once per resource, through call.allows; none means that
	// anybody may. A test walks the table and fails on a handler that does not.
	needs []permission
	// maxFrame is the largest request, in bytes.
	maxFrame int
	// handle begins the call. It must see to it that call.reply, call.step or
	// call.fail comes to be called exactly once, then or later.
	handle func(*call)
}

// versions is an inclusive range.
type versions struct{ min, max int16 }

func (v versions) has(n int16) bool { return n >= v.min && n <= v.max }

// String returns the range as the documentation spells it.
func (v versions) String() string {
	if v.min == v.max {
		return strconv.Itoa(int(v.min))
	}
	return fmt.Sprintf("%d-%d", v.min, v.max)
}

// permission is an action on a type of resource.
type permission struct {
	action access.Action
	on     access.Type
}

// stage says when a call is handled.
type stage uint8

const (
	// inTurn: by the writer, once all calls before it are answered.
	inTurn stage = iota
	// atOnce: by the reader, as it arrives. For operations that wait long and
	// that clients pipeline.
	atOnce
)

// apis is the table, ordered by key. Versions are those of Kafka 4.2.
var apis = []api{
	{
		// Advertised from 0: librdkafka before 2.11 switches compression off
		// unless version 0 is in range (KAFKA-18659).
		key: keyProduce, name: "Produce", served: versions{3, 13}, advertised: versions{0, 13}, maxFrame: maxProduceFrame,
		when:   atOnce,
		needs:  []permission{{access.Produce, access.Topic}, {access.Produce, access.TransactionalID}},
		handle: produce,
	},
	{
		key: 1, name: "Fetch", served: versions{4, 18}, maxFrame: maxListFrame,
		needs:  []permission{{access.Consume, access.Topic}},
		handle: fetch,
	},
	{
		key: 2, name: "ListOffsets", served: versions{1, 11}, maxFrame: maxListFrame,
		needs:  []permission{{access.Describe, access.Topic}},
		handle: on(listOffsets),
	},
	{
		key: 3, name: "Metadata", served: versions{0, 13}, maxFrame: maxListFrame,
		needs:  []permission{{access.Describe, access.Topic}, {access.Create, access.Topic}},
		handle: on(metadata),
	},
	{
		key: 8, name: "OffsetCommit", served: versions{2, 10}, maxFrame: maxListFrame,
		needs:  []permission{{access.Consume, access.Group}, {access.Consume, access.Topic}},
		handle: on(offsetCommit),
	},
	{
		key: 9, name: "OffsetFetch", served: versions{1, 10}, maxFrame: maxListFrame,
		needs:  []permission{{access.Describe, access.Group}, {access.Describe, access.Topic}},
		handle: on(offsetFetch),
	},
	{
		key: 10, name: "FindCoordinator", served: versions{0, 6}, maxFrame: maxFrame,
		needs:  []permission{{access.Describe, access.Group}, {access.Describe, access.TransactionalID}},
		handle: on(findCoordinator),
	},
	{
		key: 11, name: "JoinGroup", served: versions{0, 9}, maxFrame: maxListFrame,
		needs:  []permission{{access.Consume, access.Group}},
		handle: on(joinGroup),
	},
	{
		key: 12, name: "Heartbeat", served: versions{0, 4}, maxFrame: maxFrame,
		needs:  []permission{{access.Consume, access.Group}},
		handle: on(heartbeat),
	},
	{
		key: 13, name: "LeaveGroup", served: versions{0, 5}, maxFrame: maxFrame,
		needs:  []permission{{access.Consume, access.Group}},
		handle: on(leaveGroup),
	},
	{
		key: 14, name: "SyncGroup", served: versions{0, 5}, maxFrame: maxListFrame,
		needs:  []permission{{access.Consume, access.Group}},
		handle: on(syncGroup),
	},
	{
		key: 15, name: "DescribeGroups", served: versions{0, 6}, maxFrame: maxFrame,
		needs:  []permission{{access.Describe, access.Group}},
		handle: on(describeGroups),
	},
	{
		key: 16, name: "ListGroups", served: versions{0, 5}, maxFrame: maxFrame,
		needs:  []permission{{access.Describe, access.Cluster}, {access.Describe, access.Group}},
		handle: on(listGroups),
	},
	{
		key: keyAPIVersions, name: "ApiVersions", served: versions{0, 4}, maxFrame: maxFrame,
		handle: on(apiVersions),
	},
	{
		key: 19, name: "CreateTopics", served: versions{2, 7}, maxFrame: maxListFrame,
		needs:  []permission{{access.Create, access.Topic}},
		handle: on(createTopics),
	},
	{
		key: 20, name: "DeleteTopics", served: versions{1, 6}, maxFrame: maxFrame,
		needs:  []permission{{access.Delete, access.Topic}},
		handle: on(deleteTopics),
	},
	{
		key: 21, name: "DeleteRecords", served: versions{0, 2}, maxFrame: maxFrame,
		needs:  []permission{{access.Delete, access.Topic}},
		handle: on(deleteRecords),
	},
	{
		key: 22, name: "InitProducerId", served: versions{0, 5}, maxFrame: maxFrame,
		needs:  []permission{{access.Produce, access.Cluster}, {access.Produce, access.TransactionalID}},
		handle: on(initProducerID),
	},
	{
		key: 23, name: "OffsetForLeaderEpoch", served: versions{2, 4}, maxFrame: maxListFrame,
		needs:  []permission{{access.Describe, access.Topic}},
		handle: on(offsetForLeaderEpoch),
	},
	{
		key: 24, name: "AddPartitionsToTxn", served: versions{0, 5}, maxFrame: maxListFrame,
		needs:  []permission{{access.Produce, access.TransactionalID}, {access.Produce, access.Topic}},
		handle: on(addPartitionsToTxn),
	},
	{
		key: 25, name: "AddOffsetsToTxn", served: versions{0, 4}, maxFrame: maxFrame,
		needs:  []permission{{access.Produce, access.TransactionalID}, {access.Consume, access.Group}},
		handle: on(addOffsetsToTxn),
	},
	{
		key: 26, name: "EndTxn", served: versions{0, 5}, maxFrame: maxFrame,
		needs:  []permission{{access.Produce, access.TransactionalID}},
		handle: on(endTxn),
	},
	{
		key: 27, name: "WriteTxnMarkers", served: versions{1, 2}, maxFrame: maxListFrame,
		needs:  []permission{{access.Admin, access.Cluster}},
		handle: on(writeTxnMarkers),
	},
	{
		key: 28, name: "TxnOffsetCommit", served: versions{0, 5}, maxFrame: maxListFrame,
		needs:  []permission{{access.Produce, access.TransactionalID}, {access.Consume, access.Group}, {access.Consume, access.Topic}},
		handle: on(txnOffsetCommit),
	},
	{
		key: 29, name: "DescribeAcls", served: versions{1, 3}, maxFrame: maxFrame,
		needs:  []permission{{access.Describe, access.Cluster}},
		handle: on(describeACLs),
	},
	{
		key: 30, name: "CreateAcls", served: versions{1, 3}, maxFrame: maxFrame,
		needs:  []permission{{access.Admin, access.Cluster}},
		handle: on(createACLs),
	},
	{
		key: 31, name: "DeleteAcls", served: versions{1, 3}, maxFrame: maxFrame,
		needs:  []permission{{access.Admin, access.Cluster}},
		handle: on(deleteACLs),
	},
	{
		key: 32, name: "DescribeConfigs", served: versions{1, 4}, maxFrame: maxFrame,
		needs:  []permission{{access.Describe, access.Topic}, {access.Describe, access.Cluster}},
		handle: on(describeConfigs),
	},
	{
		key: 33, name: "AlterConfigs", served: versions{0, 2}, maxFrame: maxFrame,
		needs:  []permission{{access.Alter, access.Topic}, {access.Alter, access.Cluster}},
		handle: on(alterConfigs),
	},
	{
		key: 34, name: "AlterReplicaLogDirs", served: versions{1, 2}, maxFrame: maxListFrame,
		needs:  []permission{{access.Admin, access.Cluster}},
		handle: on(alterReplicaLogDirs),
	},
	{
		key: 35, name: "DescribeLogDirs", served: versions{1, 5}, maxFrame: maxListFrame,
		needs:  []permission{{access.Describe, access.Cluster}},
		handle: on(describeLogDirs),
	},
	{
		key: 37, name: "CreatePartitions", served: versions{0, 3}, maxFrame: maxFrame,
		needs:  []permission{{access.Alter, access.Topic}},
		handle: on(createPartitions),
	},
	{
		key: 42, name: "DeleteGroups", served: versions{0, 2}, maxFrame: maxFrame,
		needs:  []permission{{access.Delete, access.Group}},
		handle: on(deleteGroups),
	},
	{
		key: 43, name: "ElectLeaders", served: versions{0, 2}, maxFrame: maxListFrame,
		needs:  []permission{{access.Admin, access.Cluster}},
		handle: on(electLeaders),
	},
	{
		key: 44, name: "IncrementalAlterConfigs", served: versions{0, 1}, maxFrame: maxFrame,
		needs:  []permission{{access.Alter, access.Topic}, {access.Alter, access.Cluster}},
		handle: on(incrementalAlterConfigs),
	},
	{
		key: 45, name: "AlterPartitionReassignments", served: versions{0, 1}, maxFrame: maxListFrame,
		needs:  []permission{{access.Admin, access.Cluster}},
		handle: on(alterPartitionReassignments),
	},
	{
		key: 46, name: "ListPartitionReassignments", served: versions{0, 0}, maxFrame: maxListFrame,
		needs:  []permission{{access.Describe, access.Cluster}},
		handle: on(listPartitionReassignments),
	},
	{
		key: 47, name: "OffsetDelete", served: versions{0, 0}, maxFrame: maxListFrame,
		needs:  []permission{{access.Delete, access.Group}, {access.Consume, access.Topic}},
		handle: on(offsetDelete),
	},
	{
		key: 55, name: "DescribeQuorum", served: versions{0, 2}, maxFrame: maxFrame,
		needs:  []permission{{access.Describe, access.Cluster}},
		handle: on(describeQuorum),
	},
	{
		key: 57, name: "UpdateFeatures", served: versions{0, 2}, maxFrame: maxFrame,
		needs:  []permission{{access.Admin, access.Cluster}},
		handle: on(updateFeatures),
	},
	{
		key: 60, name: "DescribeCluster", served: versions{0, 2}, maxFrame: maxFrame,
		needs:  []permission{{access.Describe, access.Cluster}},
		handle: on(describeCluster),
	},
	{
		key: 61, name: "DescribeProducers", served: versions{0, 0}, maxFrame: maxListFrame,
		needs:  []permission{{access.Consume, access.Topic}},
		handle: on(describeProducers),
	},
	{
		key: 65, name: "DescribeTransactions", served: versions{0, 0}, maxFrame: maxFrame,
		needs:  []permission{{access.Describe, access.TransactionalID}, {access.Describe, access.Topic}},
		handle: on(describeTransactions),
	},
	{
		key: 66, name: "ListTransactions", served: versions{0, 2}, maxFrame: maxFrame,
		needs:  []permission{{access.Describe, access.TransactionalID}},
		handle: on(listTransactions),
	},
	{
		key: 74, name: "ListConfigResources", served: versions{0, 1}, maxFrame: maxFrame,
		needs:  []permission{{access.Describe, access.Cluster}},
		handle: on(listConfigResources),
	},
	{
		key: 75, name: "DescribeTopicPartitions", served: versions{0, 0}, maxFrame: maxListFrame,
		needs:  []permission{{access.Describe, access.Topic}},
		handle: on(describeTopicPartitions),
	},
}

// The keys that code outside the table must know.
const (
	keyProduce     = 0
	keyAPIVersions = 18
)

// table is the rows by key.
type table struct {
	rows  []api
	byKey [maxKey + 1]*api
	// fallback answers ApiVersions in a version that is not known.
	fallback api
}

// maxKey is the largest key that has a place in the table.
const maxKey = 127

func newTable(rows []api) *table {
	t := &table{fallback: api{
		key: keyAPIVersions, name: "ApiVersions", maxFrame: maxFrame, handle: apiVersionsFallback,
	}}
	t.rows = slices.Clone(rows)
	for i := range t.rows {
		r := &t.rows[i]
		if r.advertised == (versions{}) {
			r.advertised = r.served
		}
		t.byKey[r.key] = r
	}
	return t
}

// lookup returns the row of a key, nil if it is not served.
func (t *table) lookup(key int16) *api {
	if key < 0 || key > maxKey {
		return nil
	}
	return t.byKey[key]
}

// maxFrameOf returns how large a frame may be that begins like this. An unknown
// key gets room enough for the header, so that the refusal can name it.
func (t *table) maxFrameOf(first []byte) int {
	key, _, _ := wire.Peek(first)
	if r := t.lookup(key); r != nil {
		return r.maxFrame
	}
	return maxFrame
}
