package management

import "time"

const (
	// maxBody bounds a request's body, in bytes: definitions can be long.
	maxBody = 64 << 20
	// maxNested is how deep objects and lists of a table may lie in each other; AMQP
	// takes no more. Each level is copied into the one around it.
	maxNested = 64
	// maxShort bounds names, routing keys and properties, in bytes (AMQP's short
	// strings).
	maxShort = 255
	// maxGet bounds the messages of one request for messages; with maxGetBytes of
	// bodies there are none after.
	maxGet      = 10_000
	maxGetBytes = 64 << 20
	// clientTime bounds an operation that is done as an AMQP client.
	clientTime = 30 * time.Second
	// askTime bounds how long connections are asked about themselves.
	askTime = 2 * time.Second
	// rateSpan is the span that rates are computed over; RabbitMQ's
	// collect_statistics_interval.
	rateSpan = 5 * time.Second
	// watchTime is how long samples are taken after somebody has looked at them.
	watchTime = 5 * time.Minute
	// maxSamples is how many are kept of each object.
	maxSamples = 13
	// maxRated bounds the queues that are sampled.
	maxRated = 20_000
)
