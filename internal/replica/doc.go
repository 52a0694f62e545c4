// Package replica runs Raft groups over the node's store.
//
// A Host drives a fixed set of loops, at most one per core; each group lives on
// one loop, and everything that happens to it (gathering proposals, stepping
// Raft, applying entries, answering) happens there, one step at a time. The
// loops are passive: Step does one deterministic piece of work, and Run is a
// thin driver that gives each loop a goroutine, so that a simulator can own
// every step, the clock, the network and the disk (DESIGN §4 "Groups,
// commands, time").
//
// What an entry means is the business of the group's StateMachine.
package replica
