// Package txn is the meaning of Kafka's transactions where they are decided: the
// transaction coordinator (KIP-98, with the producer epochs of KIP-890).
//
// It is pure: a [State] takes a [Command] and the log time and answers with a
// [Reply] and with [Effects]. It lives in the shard that the transactional id's
// slot maps to.
//
// # Two phases
//
// A transaction is Ongoing from the first partition or group that is added to it.
// An [End], a timeout or a new incarnation of the producer decides it: it is then
// PrepareCommit or PrepareAbort, and its fate is settled, whatever crashes. The
// shard's leader sends the decision to every partition and group that is part of
// it, again and again until all have applied it, and proposes [Complete]. The
// number of the transaction goes with the decision, so that one that arrives
// twice, or late, changes nothing.
//
// # Epochs
//
// Who asks with an older epoch is fenced. A client of KIP-890 (version 2 of
// transactions) gets a new epoch with every transaction; the decision carries it
// to the partitions, so that nothing of the old transaction can be written after
// it. A transaction that the coordinator aborts itself, because its time was over
// or its producer has begun anew, always takes a new epoch.
package txn
