package amqp

import "time"

const (
	// What is offered in connection.tune; RabbitMQ's values.
	offerFrameMax   = 131_072
	offerChannelMax = 2047
	offerHeartbeat  = 60 // seconds
	// handshakeFrame is the largest frame before connection.tune-ok, in bytes.
	// Tokens used as passwords need more than the 4096 of the specification.
	handshakeFrame = 8192
	// handshakeTime is how long a client may take from connecting to
	// connection.open.
	handshakeTime = 10 * time.Second
	// refusalDelay is how long a client that failed to log in waits for its
	// answer (RabbitMQ: one second).
	refusalDelay = time.Second
	// closeTime is how long a client may take to answer connection.close.
	closeTime = 5 * time.Second
	// lingerTime is how long a client may take to close its end.
	lingerTime = time.Second
	// writeTimeout is how long a client may take to accept the next maxWrite
	// bytes. One that does not read is disconnected.
	writeTimeout = 30 * time.Second
	maxWrite     = 1 << 20

	// A connection's read buffer, in bytes: it begins small, grows to what a
	// frame needs or to maxReadBuffer when reads fill it, and shrinks when the
	// connection has nothing more to say.
	minReadBuffer = 4 << 10
	maxReadBuffer = 256 << 10

	// maxMessage is the largest body, in bytes (RabbitMQ 4: max_message_size).
	maxMessage = 16 << 20
	// maxFrameBody is what no body is ever; who announces more is not believed.
	maxFrameBody = 512 << 20

	// A batch of publishes is handed to the broker when it has this many
	// messages or bytes, or when the burst ends.
	maxBatchCount = 4096
	maxBatchBytes = 256 << 10
	// maxOpenBatches is how many batches of a channel a burst fills at a time, and
	// maxPackedTargets the most queues that one has beside others.
	maxOpenBatches   = 4096
	maxPackedTargets = 64
	// maxKeptBatch is the largest batch buffer that is used again, in bytes.
	maxKeptBatch = 1 << 20
	// maxUnconfirmed is how many batches of a connection may be under way; then
	// it is not read from.
	maxUnderWay = 1024

	// A connection that has published to a queue whose consumers are being outrun
	// waits giveWayStep, giveWaySteps times at most, before it is read from again.
	giveWayStep  = 500 * time.Microsecond
	giveWaySteps = 20

	// maxRoutes is how many routes a connection remembers.
	maxRoutes = 1024

	// outboxHigh is for how many bytes in the outbox consumers get no more
	// credit until the writer has taken them.
	outboxHigh = 1 << 20
	// maxPrompt is how much of the outbox others than the writer write, in bytes.
	maxPrompt = 16 << 10
	// mostHelped is how large a burst may be, in bytes, after which the reader
	// writes the log itself.
	mostHelped = 32 << 10
	// maxKeptOutput is the largest outbox buffer that is used again, in bytes.
	maxKeptOutput = 2 << 20
	// A consumer's window is how many deliveries it may have on their way to
	// the outbox, whatever its prefetch count: as many messages of the usual
	// size as fill windowBytes, within these bounds.
	windowBytes = 1 << 20
	minWindow   = 16
	maxWindow   = 2048

	// widenEvery is how often, in ms, a connection looks whether the topics that it
	// consumes have got more partitions.
	widenEvery = 5000
	// lookAgainTime is when a consumer of a topic that may have fewer messages
	// than there are partitions looks again which of them have some.
	lookAgainTime = 20 * time.Millisecond

	// streamTurn is how many bytes a consumer of a stream is given before others of
	// its connection have their turn.
	streamTurn = 64 << 10
	// maxStreamSegment is the largest segment of a stream that can be asked for, in
	// bytes (RabbitMQ's).
	maxStreamSegment = 3_000_000_000
	// maxFilters is how many values a consumer of a stream can choose.
	maxFilters = 64
	// streamPatience is for how long a consumer of a stream waits for more at a
	// time; nothing comes of it when it is over.
	streamPatience = 24 * time.Hour

	// maxName is the longest name, a short string of the protocol.
	maxName = 255
	// maxConsumers is how many consumers a channel may have.
	maxConsumers = 65_535
	// maxTransaction is how many messages and settles a transaction may hold,
	// and maxTransactionBytes how many bytes of messages.
	maxTransaction      = 100_000
	maxTransactionBytes = 256 << 20

	// minExchangeCounts is how many counts of exchanges are kept before those of
	// deleted ones are looked for, for the first time.
	minExchangeCounts = 1_000

	// fullPoll is how often a blocked connection looks whether there is room on
	// the disk again.
	fullPoll = 250 * time.Millisecond
)
