// Package amqp is AMQP 0-9-1, as RabbitMQ speaks it, over the broker: it
// translates and owns neither storage nor delivery logic.
//
// # Where things are
//
// The table in api.go lists every method that clients send, with the
// permissions it asks for and its handler; docs/protocol/amqp.md is generated
// from it. One file per method, named with AMQP's word for it, says what it
// does and what is missing. Bytes are the business of the sub-package wire.
// conn.go is the only file that knows a socket.
//
// # The way of a message
//
// A connection has two goroutines. The reader parses every whole frame in its
// buffer before it blocks again, and runs the methods' handlers; publishes to
// the same queues become one batch (batch.go). When the buffer
// is used up, the burst ends: batches, settles and grants of credit are handed
// to the broker, many at a time (burst.go). The writer takes what others have
// put into the connection's outbox (outbox.go) and writes it with one system
// call. Where the burst was one batch that the client waits for, the reader does
// the rest as well: it steps the broker's loops and writes what comes of it
// (session.help, answer.go).
//
// Deliveries come on the loops of the broker's shards: a channel numbers each
// (unacked.go) and encodes it into the outbox whole, so that contents never
// interleave. Commits come there too: they only mark what is confirmed
// (confirms.go), and the writer says so with one cumulative ack per channel.
//
// # Who may touch what
//
// The reader owns the session and its channels, but for what their mutexes
// guard: a channel's is for its unacked deliveries and consumers, the outbox's
// for everything on its way out, confirms included. The outbox's is taken last.
//
// A method that must be answered waits, on the reader, for the broker's answer:
// what follows it on the connection comes after it. Before it looks at a queue
// it also waits for what the connection itself has under way, so that a client
// which publishes and then gets finds its message.
package amqp
