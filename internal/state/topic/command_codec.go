package topic

import (
	"fmt"
	"math"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// The first byte of a logged command. They are part of the log's format: never
// change one, and give a new form a new number.
const (
	kindBootstrap           = 1
	kindCreateTopic         = 2
	kindDeleteTopic         = 3
	kindAlterConfigs        = 4
	kindCreatePartitions    = 5
	kindAllocateProducerIDs = 6
	kindConfirm             = 7
	kindCreateQueue         = 8 // CreateTopic with a lease set
	kindAlterQueue          = 9
	kindCreateStream        = 10 // CreateTopic with attributes alone

	kindDefineOld     = 1 // Define with TermIsEpoch
	kindDeleteRecords = 2
	kindDefine        = 3
)

// AppendTo implements CatalogCommand.
func (c *Bootstrap) AppendTo(dst []byte) []byte {
	dst = codec.AppendUvarint(append(dst, kindBootstrap), uint(len(c.Shards)))
	for _, s := range c.Shards {
		dst = codec.AppendUvarint(dst, s)
	}
	return dst
}

// AppendTo implements CatalogCommand.
func (c *CreateTopic) AppendTo(dst []byte) []byte {
	if c.Lease != nil {
		dst = codec.AppendBytes(append(dst, kindCreateQueue), c.Lease)
		dst = append(codec.AppendBytes(dst, c.Attributes), c.UUID[:]...)
	} else if c.Attributes != nil {
		dst = append(codec.AppendBytes(append(dst, kindCreateStream), c.Attributes), c.UUID[:]...)
	} else {
		dst = append(append(dst, kindCreateTopic), c.UUID[:]...)
	}
	dst = codec.AppendBytes(dst, c.Tenant)
	dst = codec.AppendBytes(dst, c.Name)
	dst = codec.AppendVarint(dst, c.Partitions)
	return appendConfig(dst, c.Config)
}

// AppendTo implements CatalogCommand.
func (c *AlterQueue) AppendTo(dst []byte) []byte {
	return codec.AppendBytes(append(append(dst, kindAlterQueue), c.UUID[:]...), c.Lease)
}

// AppendTo implements CatalogCommand.
func (c *DeleteTopic) AppendTo(dst []byte) []byte {
	return append(append(dst, kindDeleteTopic), c.UUID[:]...)
}

// AppendTo implements CatalogCommand.
func (c *AlterConfigs) AppendTo(dst []byte) []byte {
	dst = append(append(dst, kindAlterConfigs), c.UUID[:]...)
	dst = codec.AppendBool(dst, c.Replace)
	dst = codec.AppendUvarint(dst, uint(len(c.Changes)))
	for _, ch := range c.Changes {
		dst = append(dst, byte(ch.Op))
		dst = codec.AppendBytes(dst, ch.Name)
		dst = codec.AppendBytes(dst, ch.Value)
	}
	return dst
}

// AppendTo implements CatalogCommand.
func (c *CreatePartitions) AppendTo(dst []byte) []byte {
	dst = append(append(dst, kindCreatePartitions), c.UUID[:]...)
	return codec.AppendVarint(dst, c.Count)
}

// AppendTo implements CatalogCommand.
func (c *AllocateProducerIDs) AppendTo(dst []byte) []byte {
	return codec.AppendVarint(append(dst, kindAllocateProducerIDs), c.Count)
}

// AppendTo implements CatalogCommand.
func (c *Confirm) AppendTo(dst []byte) []byte {
	dst = codec.AppendUvarint(append(dst, kindConfirm), c.Shard)
	return codec.AppendUvarint(dst, c.Revision)
}

// DecodeCatalogCommand reads what AppendTo of a catalog command wrote, whatever
// its fields hold: a client's nonsense is refused by Apply, on every replica
// alike, and must not look like damage to the log. It allocates in proportion
// to b and keeps nothing of it.
func DecodeCatalogCommand(b []byte) (CatalogCommand, error) {
	r := codec.NewReader(b)
	var cmd CatalogCommand
	switch kind := r.Byte(); kind {
	case kindBootstrap:
		shards := make([]record.ShardID, r.Count(math.MaxInt32, 1))
		for i := range shards {
			shards[i] = record.ShardID(r.Uvarint(math.MaxUint32))
		}
		cmd = &Bootstrap{Shards: shards}
	case kindCreateTopic:
		cmd = readCreateTopic(&r, &CreateTopic{})
	case kindCreateQueue:
		cmd = readCreateTopic(&r, &CreateTopic{Lease: readBlob(&r), Attributes: readBlob(&r)})
	case kindCreateStream:
		cmd = readCreateTopic(&r, &CreateTopic{Attributes: readBlob(&r)})
	case kindAlterQueue:
		cmd = &AlterQueue{UUID: readUUID(&r), Lease: readBlob(&r)}
	case kindDeleteTopic:
		cmd = &DeleteTopic{UUID: readUUID(&r)}
	case kindAlterConfigs:
		cmd = readAlterConfigs(&r)
	case kindCreatePartitions:
		cmd = &CreatePartitions{UUID: readUUID(&r), Count: int32(r.Varint(math.MinInt32, math.MaxInt32))}
	case kindAllocateProducerIDs:
		cmd = &AllocateProducerIDs{Count: r.Varint(math.MinInt64, math.MaxInt64)}
	case kindConfirm:
		cmd = &Confirm{
			Shard: record.ShardID(r.Uvarint(math.MaxUint32)), Revision: Revision(r.Uvarint(math.MaxUint64)),
		}
	default:
		r.Fail("command kind %d", kind)
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("decoding a catalog command: %w", err)
	}
	return cmd, nil
}

func readCreateTopic(r *codec.Reader, c *CreateTopic) *CreateTopic {
	c.UUID, c.Tenant, c.Name = readUUID(r), readText(r), readText(r)
	c.Partitions, c.Config = int32(r.Varint(math.MinInt32, math.MaxInt32)), readConfig(r)
	return c
}

// readBlob reads bytes of any length that the input holds, copied, never nil.
func readBlob(r *codec.Reader) []byte { return append([]byte{}, r.Bytes(math.MaxInt32)...) }

func readAlterConfigs(r *codec.Reader) *AlterConfigs {
	c := &AlterConfigs{UUID: readUUID(r), Replace: r.Bool()}
	c.Changes = make([]ConfigChange, r.Count(math.MaxInt32, 3))
	for i := range c.Changes {
		c.Changes[i] = ConfigChange{Op: ConfigOp(r.Byte()), Name: readText(r), Value: readText(r)}
	}
	return c
}

func readUUID(r *codec.Reader) (u UUID) {
	for i := range u {
		u[i] = r.Byte()
	}
	return u
}

// readText reads a string of any length that the input holds.
func readText(r *codec.Reader) string { return r.String(math.MaxInt32) }

func appendConfig(dst []byte, config []Config) []byte {
	dst = codec.AppendUvarint(dst, uint(len(config)))
	for _, c := range config {
		dst = codec.AppendBytes(dst, c.Name)
		dst = codec.AppendBytes(dst, c.Value)
	}
	return dst
}

func readConfig(r *codec.Reader) []Config {
	config := make([]Config, r.Count(math.MaxInt32, 2))
	for i := range config {
		config[i] = Config{readText(r), readText(r)}
	}
	return config
}

// AppendTo implements ShardCommand.
func (c *Define) AppendTo(dst []byte) []byte {
	kind := byte(kindDefine)
	if c.TermIsEpoch {
		kind = kindDefineOld
	}
	dst = codec.AppendUvarint(append(dst, kind), c.After)
	dst = codec.AppendUvarint(dst, c.Revision)
	dst = codec.AppendUvarint(dst, uint(len(c.Topics)))
	for i := range c.Topics {
		d := &c.Topics[i]
		dst = codec.AppendUvarint(dst, d.Topic)
		dst = codec.AppendUvarint(dst, d.Revision)
		dst = codec.AppendBool(dst, d.Dropped)
		if !d.Dropped {
			dst = d.Settings.appendTo(dst)
		}
		dst = codec.AppendUvarint(dst, uint(len(d.Partitions)))
		for _, p := range d.Partitions {
			dst = codec.AppendUvarint(dst, p.ID)
			dst = codec.AppendVarint(dst, p.FirstEpoch)
		}
	}
	return dst
}

// AppendTo implements ShardCommand.
func (c *DeleteRecords) AppendTo(dst []byte) []byte {
	dst = codec.AppendUvarint(append(dst, kindDeleteRecords), c.Partition)
	return codec.AppendVarint(dst, c.Before)
}

// DecodeShardCommand reads what AppendTo of a shard command wrote. It keeps
// nothing of b.
func DecodeShardCommand(b []byte) (ShardCommand, error) {
	r := codec.NewReader(b)
	var cmd ShardCommand
	switch kind := r.Byte(); kind {
	case kindDefine, kindDefineOld:
		c := &Define{
			TermIsEpoch: kind == kindDefineOld,
			After:       Revision(r.Uvarint(math.MaxUint64)), Revision: Revision(r.Uvarint(math.MaxUint64)),
		}
		// The smallest definition is a dropped topic: id, revision, flag, count.
		c.Topics = make([]Definition, r.Count(definesPerCommand, 4))
		for i := range c.Topics {
			c.Topics[i] = readDefinition(&r)
		}
		cmd = c
	case kindDeleteRecords:
		cmd = &DeleteRecords{
			Partition: record.PartitionID(r.Uvarint(math.MaxUint64)), Before: record.Offset(r.Varint(math.MinInt64, math.MaxInt64)),
		}
	default:
		r.Fail("command kind %d", kind)
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("decoding a shard command: %w", err)
	}
	return cmd, nil
}

func readDefinition(r *codec.Reader) Definition {
	d := Definition{
		Topic: ID(r.Uvarint(math.MaxUint64)), Revision: Revision(r.Uvarint(math.MaxUint64)), Dropped: r.Bool(),
	}
	if !d.Dropped {
		d.Settings = readSettings(r)
	}
	d.Partitions = make([]PartitionDefinition, r.Count(MaxPartitionsPerTopic, 2))
	for i := range d.Partitions {
		d.Partitions[i] = PartitionDefinition{
			ID: record.PartitionID(r.Uvarint(math.MaxUint64)), FirstEpoch: record.Epoch(r.Varint(0, math.MaxInt32)),
		}
	}
	return d
}
