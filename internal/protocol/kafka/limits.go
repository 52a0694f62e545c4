package kafka

import "time"

const (
	// maxInFlight is how many requests of a connection may be unanswered; then
	// it is not read from.
	maxInFlight = 64
	// mostHelped is how large a Produce request may be, in bytes, for its reader
	// to write the log itself.
	mostHelped = 32 << 10
	// maxHeld is how many bytes of unanswered requests a connection may have;
	// then it is not read from. One frame is always let in.
	maxHeld = 16 << 20

	// The largest frames, in bytes. Most requests are a few hundred bytes; the
	// table gives those with long lists of partitions or with record bytes more.
	maxFrame        = 1 << 20
	maxListFrame    = 8 << 20
	maxProduceFrame = 100 << 20 // Kafka's socket.request.max.bytes
	// firstRead is for how much of a frame room is made, in bytes, before the
	// first of them has come, if the one before it was no larger. Each time it
	// is filled the room grows to readGrowth times as much, so that who announces
	// much must also send it.
	firstRead  = 16 << 10
	readGrowth = 4
	// trustedRead is the most that room is made for because the frame before
	// was as large.
	trustedRead = 4 << 20

	// idleTimeout ends a connection that has nothing under way and sends
	// nothing (Kafka's connections.max.idle.ms).
	idleTimeout = 10 * time.Minute
	// readTimeout is how long a client may take to fill the room made for its frame.
	readTimeout = 30 * time.Second
	// writeTimeout is how long a client may take to accept the next maxWrite
	// bytes of its answers, or up to twice as long. One that does not read is
	// disconnected.
	writeTimeout = 30 * time.Second
	// maxWrite is how many bytes are written under one deadline.
	maxWrite = 1 << 20
	// maxGathered is how many bytes of answers are put together before they
	// are written.
	maxGathered = 256 << 10

	// readBuffer is a connection's read buffer, in bytes, while its own goroutine
	// reads; what is larger is read past it.
	readBuffer = 4 << 10
	// maxLent is the largest frame, in bytes, that the poller takes. Larger ones
	// are read straight into their frames, by each connection for itself.
	maxLent = 32 << 10
	// mostPatience is how many produces in a row a connection's goroutine reads that
	// are no larger, without stepping a loop for one, before the socket is lent to
	// the poller: to lend it between large ones, which come in part, costs more.
	mostPatience = 16

	// maxFetchBytes is the largest answer to a Fetch, in bytes of records, but
	// for a first batch that is larger. Clients ask for 50 MiB and more, and
	// are as fast with less.
	maxFetchBytes = 8 << 20
	// maxOutbound is how many bytes of records all connections together may
	// have read and not yet written. When they are used up a Fetch gets
	// minOutbound bytes, so that everybody goes on and ten thousand clients
	// that do not read cost no more than that each.
	maxOutbound = 256 << 20
	minOutbound = 64 << 10
	// maxPooledParts is the largest number of partitions for which the scratch
	// memory of a Fetch is kept.
	maxPooledParts = 1024
	// maxFetchSessions is how many fetch sessions are kept
	// (max.incremental.fetch.session.cache.slots), and maxSessionPartitions how
	// many partitions in all of them.
	maxFetchSessions     = 1000
	maxSessionPartitions = 1 << 19
	// sessionEviction is how long a session is safe from others that want its
	// place (min.incremental.fetch.session.eviction.ms).
	sessionEviction = 2 * time.Minute

	// maxDescribedPartitions is how many partitions one answer to
	// DescribeTopicPartitions tells of (max.request.partition.size.limit).
	maxDescribedPartitions = 2000
	// maxBadRecords is how many records of a refused batch are named.
	maxBadRecords = 100

	// maxNames is how many topic names a connection remembers, to look them up
	// without allocating.
	maxNames = 256
)
