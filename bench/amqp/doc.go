// Package amqp generates AMQP 0-9-1 load with as little client work as
// possible, so that the server is what a run measures: messages are encoded
// once, many are written at a time, and of what arrives only the frame heads
// and delivery tags are read.
package amqp
