// Package sim runs whole clusters of the product's own code (store, Raft host,
// state machines, broker) in one goroutine and in virtual time, under clients
// and faults that a seed decides, and holds what the clients saw against what
// was promised to them. It is test-only: nothing imports it but its own command.
//
// A run has two phases. In the first one faults may do anything that leaves the
// cluster recoverable, and nothing unsafe may happen. Then everything is healed,
// and the cluster must make progress and agree within bounds. README.md says how
// to read a failure.
package sim
