package kafkaclient

import "time"

const (
	// maxResponse is the longest answer that is read, in bytes.
	maxResponse = 256 << 20
	// fetchBytes is how much one fetch asks for, and partitionBytes how much of
	// one partition.
	fetchBytes     = 16 << 20
	partitionBytes = 4 << 20
	// fetchWait is how long the server may hold a fetch that finds nothing.
	fetchWait = 500 * time.Millisecond
	// timestampBytes is how much of a partition is fetched to look at one
	// record's timestamp.
	timestampBytes = 64 << 10
	// batchBytes is the size at which a partition's batch is full, and
	// flushBytes that at which all batches together are sent.
	batchBytes = 512 << 10
	flushBytes = 2 << 20
	// heartbeatEvery, commitEvery, sessionTimeout and rebalanceTimeout are the
	// pace of a group's member.
	heartbeatEvery   = 3 * time.Second
	commitEvery      = 5 * time.Second
	sessionTimeout   = 30 * time.Second
	rebalanceTimeout = 30 * time.Second
	// retryFirst and retryMost bound the pause before a retry.
	retryFirst = 50 * time.Millisecond
	retryMost  = time.Second
)
