package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/polylog-mq/polylog/internal/record"
)

// The keyspaces; that of the pages sorts last. Numbers in keys are big-endian,
// so that they sort.
const (
	keyBounds    = 'b' // WALFrom, NextSegment
	keyCut       = 'c' // the number of the cut
	keyEnd       = 'e' // End
	keyMeta      = 'm' // Meta
	keyGroup     = 'g' // group → Group
	keyFile      = 'f' // level, number → File
	keyPartition = 'p' // partition → Partition
	keyPage      = 's' // group, key → page
)

// valueVersion begins every value of ours but pages.
const valueVersion = 1

var errValue = errors.New("a value that this version cannot read")

func groupKey(g record.ShardID) []byte {
	return binary.BigEndian.AppendUint32([]byte{keyGroup}, uint32(g))
}

func fileKey(f FileID) []byte {
	return binary.BigEndian.AppendUint64([]byte{keyFile, f.Level}, f.Num)
}

func partitionKey(p record.PartitionID) []byte {
	return binary.BigEndian.AppendUint64([]byte{keyPartition}, uint64(p))
}

// pagePrefix begins the keys of a group's pages, and pageEnd is above them.
func pagePrefix(g record.ShardID) []byte {
	return binary.BigEndian.AppendUint32([]byte{keyPage}, uint32(g))
}

func pageEnd(g record.ShardID) []byte {
	b := pagePrefix(g)
	for i := len(b) - 1; ; i-- {
		if b[i]++; b[i] != 0 {
			return b
		}
	}
}

func appendMeta(m *Meta) []byte {
	b := append([]byte{valueVersion}, m.Cluster[:]...)
	return binary.AppendUvarint(b, uint64(m.Node))
}

func appendBounds(walFrom, nextSegment uint64) []byte {
	b := binary.AppendUvarint([]byte{valueVersion}, walFrom)
	return binary.AppendUvarint(b, nextSegment)
}

// cutKey is the key of cut n, which each cut puts in the place of its
// predecessor's.
func cutKey(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{keyCut}, n) }

func appendEnd(e End) []byte {
	b := binary.AppendUvarint([]byte{valueVersion}, e.File)
	return binary.AppendUvarint(b, uint64(e.Offset))
}

func appendGroup(g *Group) []byte {
	b := binary.AppendUvarint([]byte{valueVersion}, uint64(g.Applied))
	b = binary.AppendUvarint(b, uint64(g.Term))
	b = binary.AppendUvarint(b, uint64(g.Compacted))
	b = binary.AppendUvarint(b, uint64(g.CompactedTerm))
	b = binary.AppendUvarint(b, g.ResetFile)
	b = binary.AppendUvarint(b, uint64(g.ResetOffset))
	return append(b, g.Conf...)
}

func appendFile(f *File) []byte {
	final := byte(0)
	if f.Final {
		final = 1
	}
	b := binary.AppendUvarint([]byte{valueVersion, final}, uint64(f.DataLen))
	b = binary.AppendUvarint(b, uint64(f.Gen))
	b = binary.LittleEndian.AppendUint32(b, f.DataCRC)
	b = binary.LittleEndian.AppendUint32(b, f.Digest)
	for _, m := range f.Moved {
		b = append(binary.AppendUvarint(b, uint64(m.Partition)), m.Level)
		b = binary.AppendUvarint(b, uint64(m.From))
		b = binary.AppendUvarint(b, uint64(m.Below))
	}
	return b
}

func appendPartition(p *Partition) []byte {
	dropped := byte(0)
	if p.Dropped {
		dropped = 1
	}
	b := binary.AppendUvarint([]byte{valueVersion, dropped}, uint64(len(p.Floors)))
	for _, f := range p.Floors {
		b = binary.AppendUvarint(append(b, f.Level), uint64(f.Offset))
	}
	if p.Cleaned > 0 {
		b = binary.AppendUvarint(b, uint64(p.Cleaned))
	}
	return b
}

// value reads our values; after the first fault it yields zeros.
type value struct {
	b   []byte
	bad bool
}

// open checks the version.
func open(b []byte) *value {
	v := &value{b: b}
	if v.byte() != valueVersion {
		v.bad = true
	}
	return v
}

func (v *value) uvarint() uint64 {
	u, n := binary.Uvarint(v.b)
	if n <= 0 {
		v.b, v.bad = nil, true
		return 0
	}
	v.b = v.b[n:]
	return u
}

func (v *value) take(n int) []byte {
	if len(v.b) < n {
		v.b, v.bad = nil, true
		return make([]byte, n)
	}
	b := v.b[:n]
	v.b = v.b[n:]
	return b
}

func (v *value) byte() byte     { return v.take(1)[0] }
func (v *value) uint32() uint32 { return binary.LittleEndian.Uint32(v.take(4)) }

func (v *value) err(what string) error {
	if v.bad {
		return fmt.Errorf("%s: %w", what, errValue)
	}
	return nil
}

func parseMeta(b []byte) (*Meta, error) {
	v := open(b)
	m := &Meta{Cluster: uuid.UUID(v.take(16)), Node: record.NodeID(v.uvarint())}
	return m, v.err("the node's identity")
}

func parseGroup(key, b []byte) (Group, error) {
	if len(key) != 5 {
		return Group{}, fmt.Errorf("a group's key: %w", errValue)
	}
	v := open(b)
	g := Group{
		ID:            record.ShardID(binary.BigEndian.Uint32(key[1:])),
		Applied:       record.Index(v.uvarint()),
		Term:          record.Term(v.uvarint()),
		Compacted:     record.Index(v.uvarint()),
		CompactedTerm: record.Term(v.uvarint()),
		ResetFile:     v.uvarint(),
		ResetOffset:   int64(v.uvarint()),
	}
	g.Conf = append([]byte(nil), v.b...)
	return g, v.err("a group")
}

func parseFile(key, b []byte) (File, error) {
	if len(key) != 10 {
		return File{}, fmt.Errorf("a file's key: %w", errValue)
	}
	v := open(b)
	f := File{FileID: FileID{key[1], binary.BigEndian.Uint64(key[2:])}, Final: v.byte() == 1}
	f.DataLen, f.Gen = int64(v.uvarint()), uint32(v.uvarint())
	f.DataCRC, f.Digest = v.uint32(), v.uint32()
	for len(v.b) > 0 {
		f.Moved = append(f.Moved, Moved{record.PartitionID(v.uvarint()), v.byte(), record.Offset(v.uvarint()), record.Offset(v.uvarint())})
	}
	return f, v.err("a file")
}

func parsePartition(key, b []byte) (Partition, error) {
	if len(key) != 9 {
		return Partition{}, fmt.Errorf("a partition's key: %w", errValue)
	}
	v := open(b)
	p := Partition{ID: record.PartitionID(binary.BigEndian.Uint64(key[1:])), Dropped: v.byte() == 1}
	for n := v.uvarint(); n > 0 && !v.bad; n-- {
		p.Floors = append(p.Floors, Floor{Level: v.byte(), Offset: record.Offset(v.uvarint())})
	}
	if len(v.b) > 0 { // one that was never compacted ends here
		p.Cleaned = record.Offset(v.uvarint())
	}
	return p, v.err("a partition")
}
