package wal

import "github.com/polylog-mq/polylog/internal/record"

// FileNum numbers the files of a lane upwards without gaps, from 1. A number
// is never reused, though the bytes beneath it are.
type FileNum uint64

// Position locates the first byte of a frame's body.
type Position struct {
	File   FileNum
	Offset int64
}

// Kind says what a frame is.
type Kind uint8

const (
	// KindEntry is a Raft log entry. It discards every earlier entry of its
	// group with an index at or above its own.
	KindEntry Kind = 1
	// KindHardState is a group's vote and term, opaque here; Index is the
	// first index of the group's log and is not interpreted. The lane repeats
	// the last one of each group at the head of every file. An empty body
	// makes it forget the group.
	KindHardState Kind = 2
	// KindMark says only what is durable; the lane writes it by itself and
	// never shows it.
	KindMark Kind = 3
)

// Frame is one thing in the log. The body belongs to the caller and must not
// change between Append and Done.
type Frame struct {
	Kind      Kind
	EntryKind uint8 // not interpreted
	Group     record.ShardID
	Index     record.Index
	Term      record.Term
	Body      []byte
}

// FrameSize returns the bytes that a body of n bytes takes in a file.
func FrameSize(n int) int64 { return headerSize + int64(n) }

const headerSize = 64
