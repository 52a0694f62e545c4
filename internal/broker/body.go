package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// The body of an entry: a version byte, then commands (drawn in
// docs/format/entry.md). Integers are little-endian.
const bodyVersion = 1

// commandKind says which part of the state machine a command is for. The
// numbers are logged: they never change their meaning.
type commandKind uint8

const (
	kindAppend  commandKind = 1 // record batches for partitions
	kindTopic   commandKind = 2 // topic.ShardCommand
	kindGroup   commandKind = 3 // group.Command
	kindCatalog commandKind = 4 // topic.CatalogCommand, in the metadata group
	kindTxn     commandKind = 5 // txn.Command
	kindMark    commandKind = 6 // mark, for partitions
	kindLease   commandKind = 7 // lease.Command
	kindMove    commandKind = 8 // move, of dead letters
	kindLater   commandKind = 9 // later, of what is scheduled

	kindRoute  commandKind = 32 // route.Command, in the metadata group
	kindAccess commandKind = 33 // access.Command, in the metadata group

	kindParameter commandKind = 34 // parameter.Command, in the metadata group
)

const (
	commandHeader = 5 // kind, length
	appendHeader  = 3 // flags, number of targets
	targetSize    = 9 // partition, level
)

// errBody is what is wrong with the body of an entry.
var errBody = errors.New("malformed entry")

// beginCommand appends the header of a command, whose length endCommand fills
// in.
func beginCommand(dst []byte, k commandKind) []byte {
	return append(dst, byte(k), 0, 0, 0, 0)
}

// endCommand ends the command that began at start.
func endCommand(dst []byte, start int) {
	binary.LittleEndian.PutUint32(dst[start+1:], uint32(len(dst)-start-commandHeader))
}

// lengthen adds n bytes that follow elsewhere to the command that began at start.
func lengthen(dst []byte, start, n int) {
	size := dst[start+1:]
	binary.LittleEndian.PutUint32(size, binary.LittleEndian.Uint32(size)+uint32(n))
}

// target is a partition, at a priority level, that an append command is for.
type target struct {
	partition record.PartitionID
	level     uint8
}

// The bits of an append's flags.
const (
	appendHasFacts = 1 << iota // facts follow the targets
	appendRefused              // there are no targets and no batches
	appendFlags    = 1<<iota - 1
)

// facts are what apply must know of the batches of an append without reading
// them.
type facts struct {
	ttl   int64 // ms; -1: as long as the queue allows
	delay int64 // ms
	bytes int64 // of the bodies of all records
}

// appendPublish appends the part of an append command before its batches, if it
// has facts.
func appendPublish(dst []byte, targets []target, f *facts) []byte {
	start := len(dst)
	dst = appendTargets(dst, targets...)
	dst[start] |= appendHasFacts
	dst = codec.AppendVarint(dst, f.ttl)
	dst = codec.AppendVarint(dst, f.delay)
	return codec.AppendVarint(dst, f.bytes)
}

// appendTargets appends the part of an append command before its batches.
func appendTargets(dst []byte, targets ...target) []byte {
	dst = append(dst, 0) // flags
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(targets)))
	for _, t := range targets {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(t.partition))
		dst = append(dst, t.level)
	}
	return dst
}

// body walks over the commands of an entry.
type body struct {
	data []byte
	// pos is where the next command begins within data.
	pos int
}

// openBody begins a walk.
func openBody(data []byte) (body, error) {
	if len(data) == 0 {
		return body{}, fmt.Errorf("%w: it is empty", errBody)
	}
	if data[0] != bodyVersion {
		return body{}, fmt.Errorf("%w: version %d, this program knows %d", errBody, data[0], bodyVersion)
	}
	return body{data: data, pos: 1}, nil
}

// more reports whether a command follows.
func (b *body) more() bool { return b.pos < len(b.data) }

// next returns the next command. The payload aliases the body and ends where
// pos is afterwards.
func (b *body) next() (commandKind, []byte, error) {
	rest := b.data[b.pos:]
	if len(rest) < commandHeader {
		return 0, nil, fmt.Errorf("%w: %d bytes at %d are no command", errBody, len(rest), b.pos)
	}
	n := uint64(binary.LittleEndian.Uint32(rest[1:]))
	if n > uint64(len(rest)-commandHeader) {
		return 0, nil, fmt.Errorf("%w: the command at %d needs %d bytes of %d", errBody, b.pos, n, len(rest)-commandHeader)
	}
	b.pos += commandHeader + int(n)
	return commandKind(rest[0]), rest[commandHeader : commandHeader+n], nil
}

// splitAppend takes an append command apart. Without facts in it, f.bytes is -1.
func splitAppend(payload []byte) (targets targetList, f facts, batches []byte, err error) {
	f = facts{ttl: -1, bytes: -1}
	if len(payload) < appendHeader || payload[0] > appendFlags {
		return nil, f, nil, fmt.Errorf("%w: the header of an append", errBody)
	}
	n := int(binary.LittleEndian.Uint16(payload[1:]))
	batches = payload[appendHeader:]
	if payload[0] == appendRefused && n == 0 && len(batches) == 0 {
		return nil, f, nil, nil
	}
	if n == 0 || n > maxTargets || len(batches) < n*targetSize || payload[0]&appendRefused != 0 {
		return nil, f, nil, fmt.Errorf("%w: an append with %d targets in %d bytes", errBody, n, len(payload))
	}
	targets, batches = targetList(batches[:n*targetSize]), batches[n*targetSize:]
	if payload[0]&appendHasFacts != 0 {
		r := codec.NewReader(batches)
		f = facts{ttl: r.Varint(-1, math.MaxInt64), delay: r.Varint(0, math.MaxInt64), bytes: r.Varint(0, math.MaxInt64)}
		if r.Err() != nil {
			return nil, f, nil, fmt.Errorf("%w: the facts of an append: %w", errBody, r.Err())
		}
		batches = batches[len(batches)-r.Len():]
	}
	return targets, f, batches, nil
}

// targetList is the targets of an append command in their logged form.
type targetList []byte

func (t targetList) len() int { return len(t) / targetSize }

func (t targetList) at(i int) target {
	b := t[i*targetSize:]
	return target{record.PartitionID(binary.LittleEndian.Uint64(b)), b[8]}
}
