// Package topic is what topics and partitions mean, as pure state: (state,
// command, log time) in, state and effects out. It holds no clock, no lock and
// no file, and nothing in it depends on the order of a map.
//
// Two state machines share its vocabulary:
//
//   - Catalog, in the metadata group: which topics exist, under which settings
//     and with which partitions, where those lie, and which definitions the
//     data shards have yet to confirm.
//   - Partitions, in each data shard: where each partition's log begins and
//     ends, which offset, entry id and leader epoch the next batch gets, and
//     what retention may remove.
//
// Definitions travel from the one to the other as logged Define commands, so
// that a shard applies its entries by its own state alone (DESIGN §4 "Apply
// reads its own shard only").
//
// Neither is safe for concurrent use: each belongs to the loop of its group.
// A *Topic and a *Settings, however, never change once they exist, and may be
// handed to any goroutine.
package topic
