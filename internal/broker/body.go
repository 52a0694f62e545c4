package broker

import (
	"encoding/binary"
	"errors"
	"fmt"

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

	kindRoute commandKind = 32 // route.Command, in the metadata group
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

// target is a partition, at a priority level, that an append command is for.
type target struct {
	partition record.PartitionID
	level     uint8
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

// splitAppend takes an append command apart.
func splitAppend(payload []byte) (targets targetList, batches []byte, err error) {
	if len(payload) < appendHeader || payload[0] != 0 {
		return nil, nil, fmt.Errorf("%w: the header of an append", errBody)
	}
	n := int(binary.LittleEndian.Uint16(payload[1:]))
	batches = payload[appendHeader:]
	if n == 0 || n > maxTargets || len(batches) < n*targetSize {
		return nil, nil, fmt.Errorf("%w: an append with %d targets in %d bytes", errBody, n, len(payload))
	}
	return targetList(batches[:n*targetSize]), batches[n*targetSize:], nil
}

// targetList is the targets of an append command in their logged form.
type targetList []byte

func (t targetList) len() int { return len(t) / targetSize }

func (t targetList) at(i int) target {
	b := t[i*targetSize:]
	return target{record.PartitionID(binary.LittleEndian.Uint64(b)), b[8]}
}
