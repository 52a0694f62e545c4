// Package lease is the meaning of queues: which records of a partition are
// still wanted, and who is working on which of them (DESIGN §6).
//
// It has two halves, both pure.
//
// [State] is replicated: it is what a shard's log says of its lease sets. A
// [Set] knows which offsets are settled, how often a record was given back, how
// far deliveries may have gone, and what waits to be dead-lettered. Its memory
// follows what is out of order, never the backlog: behind the floor and ahead of
// the last settled record it holds nothing.
//
// [Desk] is the leader's own: consumers and their credit, leases under way, the
// records that were given back. It decides who gets what, and asks for the
// commands that make it last. It is gone with the leadership; the next leader
// finds what it needs in the Set, and marks as redelivered whatever may have
// been delivered before.
package lease
