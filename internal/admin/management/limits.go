package management

import "time"

const (
	// maxBody bounds a request's body, in bytes: definitions can be long.
	maxBody = 64 << 20
	// maxGet bounds the messages of one request for messages.
	maxGet = 10_000
	// clientTime bounds an operation that is done as an AMQP client.
	clientTime = 30 * time.Second
	// askTime bounds how long connections are asked about themselves.
	askTime = 2 * time.Second
	// rateSpan is the shortest span that rates are computed over.
	rateSpan = 5 * time.Second
	// maxRated bounds the objects that rates are remembered of.
	maxRated = 100_000
)
