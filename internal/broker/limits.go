package broker

import (
	"time"

	"github.com/polylog-mq/polylog/internal/state/txn"
)

// Limits.
const (
	// DefaultInFlight bounds the bytes of appends and commands that are under
	// way on this node, unless chosen otherwise.
	DefaultInFlight = 64 << 20
	// DefaultShards is the number of data shards of a fresh cluster.
	DefaultShards = 16

	// leastSplice is from how many bytes on a batch that is lent goes into the log
	// from where it lies. (To continue the log's checksum over one takes as long as
	// to sum up 5 KB.)
	leastSplice = 8 << 10

	// pauseShare is the part of them from which connections pause: far enough
	// below, so that what they have read already still finds room, in one shard
	// if need be.
	pauseShare = 4

	// debtFree is the share of the store's allowed debt from which producers
	// are slowed.
	debtFree = 0.5
	// pauseCheck is how often paused connections are looked at when nothing
	// else wakes them.
	pauseCheck = 20 * time.Millisecond

	// healthAge is how old what is known of the store's health may be: far less
	// than it takes to fill what the store holds back.
	healthAge = 10 * time.Millisecond

	// producerIDBlock is how many producer ids a node takes at a time.
	producerIDBlock = 1000
	// maxProducerIDWaiters bounds who waits for the next block.
	maxProducerIDWaiters = 1 << 16

	// resendDelay is how long the disseminator waits before it sends a
	// definition again that a shard did not take.
	resendDelay = 100 * time.Millisecond

	// deletedFor is how long a topic counts as just deleted: long enough to make it
	// anew on purpose, and shorter than producers wait for a topic that they are
	// told does not exist (sarama: 750 ms). maxDeleted is how many names are
	// remembered for that.
	deletedFor = 500 * time.Millisecond
	maxDeleted = 1024

	// proposalOverhead is what a proposal is charged beside its bytes.
	proposalOverhead = 64

	// maxMarked bounds the partitions that one mark of a transaction names.
	maxMarked = txn.MaxTargets
	// endPatience is how long an EndTransaction waits for its decision to be
	// applied.
	endPatience = 5 * time.Second

	// pumpRecords is how many records a queue delivers before others of its shard
	// have their turn.
	pumpRecords = 1024
	// A queue is behind when behindBytes wait in it, and no longer when twice as
	// many do, as long as its consumers took something within keenTime. What is
	// kept in memory for readers, of all queues together, is four times as much;
	// recordOverhead is about what a record takes in the log beside its body.
	behindBytes    = 16 << 20
	keenTime       = 10 * time.Millisecond
	recordOverhead = 96
	// markTime is for about how long a queue asks for leave to deliver at a time.
	markTime = 10 * time.Millisecond
	// readLeast and readBytes bound how much of a queue is read at a time,
	// keptReadings is how many queues of a shard keep what they have read, and
	// arenaBytes how much memory is taken at a time for records that were
	// compressed.
	readLeast = 2 << 10
	readBytes = 32 << 10
	// diskBytes bounds what is read of a queue at a time if it must come from the
	// disk: each costs two hops between goroutines. While one piece is delivered the
	// next is read.
	diskBytes    = 256 << 10
	keptReadings = 16
	// idleItems is how long a list may be that a queue or a consumer keeps for the
	// next time.
	idleItems  = 32
	arenaBytes = 64 << 10
	// maxLetters bounds the dead letters of one move, funeralBytes from which size
	// on no more are added.
	maxLetters   = 256
	funeralBytes = 256 << 10
	// backgroundWorkers bounds the goroutines that read for queues beside the
	// loops.
	backgroundWorkers = 4
	// maxReceive bounds the records of one Receive or Claim, receiveBytes from
	// which size on no more are added, and maxOwner the name of an owner in bytes.
	maxReceive   = 1 << 12
	receiveBytes = 1 << 20
	maxOwner     = 255
	// maxHanding and handingBytes bound what a queue has given and not handed
	// over yet: it gives no more until then.
	maxHanding   = 1 << 12
	handingBytes = 4 << 20
	// handOverWithin is how old the proof may be that this node leads when it
	// hands over a record of a queue with message groups or a single active
	// consumer. A new leader waits handOverGrace, which is longer, so that the
	// old one has handed over its last by then, or never will.
	handOverWithin = 500 * time.Millisecond
	handOverGrace  = 750 * time.Millisecond
	// reportItems bounds what one report tells, reportSize is what it is charged.
	// reportPause is how long one is left that nobody waits for.
	reportItems = 1 << 14
	reportSize  = 1 << 12
	reportPause = 5 * time.Millisecond

	// maxFieldName is the longest name in a headers table, in bytes.
	maxFieldName = 255

	// floorLag is how many records may be settled above a queue's floor as long
	// as it is worked on in order, about.
	floorLag = 1 << 13

	// maxKnownRoutes and maxKnownTargets bound what a router remembers: keys, and
	// the queues that they lead to.
	maxKnownRoutes  = 1024
	maxKnownTargets = 1 << 16

	// A stream's segments hold streamSegment bytes (RabbitMQ's default) and at most
	// streamSpan ms; if its size or age is limited, one part in streamPieces of that,
	// so that retention, which removes whole segments, follows it closely, but at
	// least streamLeast bytes. A message has at most streamMessage bytes.
	streamSegment = 500_000_000
	streamSpan    = 7 * 86_400_000
	streamPieces  = 8
	streamLeast   = 1 << 20
	streamMessage = 17_825_792

	// streamRead is how many bytes of a stream are read at a time for a reader, and
	// lastLooks how far from the end its last record is looked for: markers of
	// transactions may follow it.
	streamRead = 64 << 10
	lastLooks  = 16

	// redriveChains is how many messages a redrive has under way.
	redriveChains = 64

	// maxTargets bounds the partitions that one append command names.
	maxTargets = 1 << 12
)
