// Package wire is AMQP 0-9-1's bytes as RabbitMQ and its clients write them:
// the protocol header, frames, methods, content headers and field tables. It
// appends and parses; it never touches a connection.
//
// A method is a struct with one walk over its fields, which serves both
// directions, so that reading and writing cannot disagree. Byte slices of what
// was parsed alias the bytes it was parsed from. Where RabbitMQ differs from the
// text of the specification (field tags, the id of exchange.unbind-ok, bits that
// it added), RabbitMQ counts: its clients are who is spoken to.
package wire
