// Package broker is the one API that every protocol calls. It composes the pure
// state machines of state/* into shards (a Raft group each), keeps the handles
// through which connections append and read, tells waiters about new data, and
// carries definitions from the metadata group to the shards.
//
// # Callbacks
//
// Nothing here blocks on a commit: an operation takes a done function and
// returns. Unless stated otherwise done runs exactly once, on the loop of the
// shard that answered, or before the call returns when the operation was
// refused at once. It must be short and must not block: hand the answer to the
// connection's own goroutine.
//
// # What an answer means
//
// A nil error means committed: synced to this node's disk and to those of a
// majority of the shard's members. Errors are the sentinels of errors.go; a
// protocol maps them in one table. ErrUnknownFate alone leaves open whether the
// operation took place.
package broker
