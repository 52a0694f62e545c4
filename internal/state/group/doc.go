// Package group is the meaning of consumer groups: who is a member, which
// generation holds, who waits for a rebalance, and which offsets were committed
// (Kafka's classic group protocol with KIP-345 static members, KIP-394 member
// ids, KIP-814 skipped assignments and the commits that KIP-429 cooperative
// rebalancing needs).
//
// It is pure: a [State] takes a [Command] and the log time, and answers with a
// [Reply] and with [Effects]. The same commands at the same times give the same
// state on every member of a shard. Nothing in it is random: the ids of members
// and everything else that must be made up come inside the commands.
//
// # What is logged and what is not
//
// Joining, syncing, leaving, committing, deleting and expiring are commands.
// Heartbeats are not: the shard's leader keeps them as soft state, and proposes
// an [Expire] when a member's session is over. The command names the last sign
// of life that the leader knew of in the log ([Session].Seen); if the member has
// rejoined in between, the command does nothing. After a change of leader every
// rebalance has its full time again ([State.Begin]), and the new leader gives
// every member a full session.
//
// Deadlines of rebalances, of reserved member ids and of committed offsets lie in
// the state. [State.NextDeadline] tells the nearest, [State.Tick] judges them.
//
// # Waiting
//
// A join and a sync can wait for other members. Their Reply is then
// Reply.Waiting, and an Effect that names group and member answers later, exactly
// once, unless the state is replaced. The caller keeps the waiting request under
// (group, member); a second request of the same member takes the place of the
// first, which the caller must answer itself with [ErrRebalanceInProgress].
//
// # Offsets
//
// A committed offset belongs to (topic id, partition number). Topic ids are never
// reused, so a topic that is deleted and made again starts without commits; the
// old ones go when the shard's leader proposes [Forget].
package group
