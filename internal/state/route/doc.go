// Package route is what exchanges and bindings mean, as pure state: which
// topics (queues are topics) a message of an exchange, with a routing key and
// headers, goes to. It is part of the metadata group.
//
// Two things live here. State is the definitions: tenants, exchanges and
// bindings, changed by logged commands and kept in the pages of a checkpoint.
// Snapshot is what routing reads of them: immutable, sharing what has not
// changed with the snapshot before it, so that a change costs O(log n) and a
// reader takes no lock. Whoever owns the state hands the latest snapshot to the
// readers.
//
// The vocabulary is AMQP's (0-9-1, with RabbitMQ's extensions), the richest that
// any protocol here has. Arguments and headers are field tables in their wire
// form (Table), kept byte for byte.
package route
