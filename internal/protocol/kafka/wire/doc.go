// Package wire is the Kafka protocol's bytes: frames and their headers, the
// shapes of all requests that are served, and hand-written walkers and encoders
// for the two that carry records. It appends and parses; it never touches a
// connection. Everything else is encoded and decoded by kmsg, behind Check.
package wire
