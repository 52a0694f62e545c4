// Package kafka is the Kafka protocol over the broker: it translates and owns
// neither storage nor delivery logic.
//
// # Where things are
//
// The table in api.go lists every operation with its versions, the permissions
// it asks for and its handler; docs/protocol/kafka.md is generated from it. One
// file per operation, named with Kafka's word for it, says what it does and
// what is missing. Bytes are the business of the sub-package wire. conn.go is
// the only file that knows a socket.
//
// # The way of a request
//
// A connection has two goroutines. The reader takes frames off the socket and
// makes each a call; the writer answers the calls in the order they came, many
// answers with one system call. While requests are small the reader is a poller,
// which reads for many connections (lend.go). A call whose row of the table says atOnce is
// handled by the reader as it arrives, so that produces of one connection are
// under way together; all others are handled by the writer when every call
// before them is answered, which is what Kafka's own broker promises. A handler
// either replies before it returns or lets a callback of the broker do so
// later, from any goroutine.
package kafka
