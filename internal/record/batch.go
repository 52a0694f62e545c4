package record

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Checks says against what Validate holds a batch.
type Checks struct {
	// MaxSize is the largest acceptable batch in bytes, header included; 0
	// means any.
	MaxSize int
	// Produced adds the rules for batches that come from clients: base offset
	// 0, no control batch, no timestamp type of the broker's, sequences that
	// fit their producer id.
	Produced bool
}

// Size returns the length in bytes of the batch at the beginning of b, which
// may be longer or shorter than it. The error is ErrTruncated when b does not
// reach the length field, ErrCorrupt when the length cannot be one.
func Size(b []byte) (int, error) {
	if len(b) < lengthEnd {
		return 0, ErrTruncated
	}
	n := int(int32(binary.BigEndian.Uint32(b[posLength:]))) + lengthEnd
	if n < HeaderSize {
		return 0, fmt.Errorf("%w: length %d is less than a header", ErrCorrupt, n)
	}
	return n, nil
}

// Validate checks that b is exactly one intact batch and returns its header.
// Records are not looked at, compressed or not (docs/adr, "decompression").
// The checks run in Kafka's order, so that a batch with two faults is refused
// for the same one. Without a fault nothing is allocated.
func Validate(b []byte, c Checks) (Header, error) {
	h, err := one(b)
	if err != nil {
		return h, err
	}
	if c.Produced && h.BaseOffset != 0 {
		return h, fmt.Errorf("%w: base offset is %d and must be 0", ErrInvalid, h.BaseOffset)
	}
	if c.MaxSize > 0 && len(b) > c.MaxSize {
		return h, fmt.Errorf("%w: %d bytes exceed the limit of %d", ErrTooLarge, len(b), c.MaxSize)
	}
	if sum := checksum(b); sum != h.CRC {
		return h, fmt.Errorf("%w: checksum is %08x, computed %08x", ErrCorrupt, h.CRC, sum)
	}
	if err := h.check(); err != nil {
		return h, err
	}
	if c.Produced {
		return h, h.checkProduced()
	}
	return h, nil
}

// one parses the header of b if b can be exactly one batch.
func one(b []byte) (Header, error) {
	n, err := Size(b)
	if err != nil {
		return Header{}, err
	}
	if len(b) > posMagic && b[posMagic] != Magic {
		if b[posMagic] < Magic {
			return Header{}, fmt.Errorf("%w: magic %d, want %d", ErrUnsupportedMagic, b[posMagic], Magic)
		}
		return Header{}, fmt.Errorf("%w: magic byte %d", ErrCorrupt, b[posMagic])
	}
	if len(b) < n {
		return Header{}, fmt.Errorf("%w: %d of %d bytes", ErrTruncated, len(b), n)
	}
	if len(b) > n {
		return Header{}, fmt.Errorf("%w: %d bytes follow the batch", ErrInvalid, len(b)-n)
	}
	return ParseHeader(b)
}

// check holds the header against the rules that hold for every stored batch.
func (h *Header) check() error {
	switch {
	case h.LastOffsetDelta < 0:
		return fmt.Errorf("%w: last offset delta %d", ErrInvalid, h.LastOffsetDelta)
	case h.Count < 0 || int64(h.Count) > int64(h.LastOffsetDelta)+1:
		return fmt.Errorf("%w: %d records in %d offsets", ErrInvalid, h.Count, int64(h.LastOffsetDelta)+1)
	case !h.Codec().Valid():
		return fmt.Errorf("%w: number %d", ErrUnsupportedCodec, h.Codec())
	}
	return nil
}

// checkProduced holds the header against the rules for clients.
func (h *Header) checkProduced() error {
	switch {
	case h.Count == 0 || int64(h.Count) != int64(h.LastOffsetDelta)+1:
		return fmt.Errorf("%w: %d records in %d offsets", ErrInvalid, h.Count, int64(h.LastOffsetDelta)+1)
	case h.Control():
		return fmt.Errorf("%w: clients may not write control records", ErrInvalid)
	case h.ProducerID < NoProducer:
		return fmt.Errorf("%w: producer id %d", ErrInvalid, h.ProducerID)
	case h.HasProducer() && (h.BaseSequence < 0 || h.ProducerEpoch < 0):
		return fmt.Errorf("%w: producer id %d with epoch %d and sequence %d",
			ErrInvalid, h.ProducerID, h.ProducerEpoch, h.BaseSequence)
	case h.Transactional() && !h.HasProducer():
		return fmt.Errorf("%w: transactional without a producer id", ErrInvalid)
	case h.LogAppendTime():
		return fmt.Errorf("%w: producers may not set the log append time", ErrTimestamp)
	}
	return nil
}

// Walk calls fn for each of the consecutive batches in b. The bytes given to
// fn alias b. It checks lengths and magic, not checksums. The error is fn's
// (SkipRest ends the walk without one), ErrTruncated when b ends inside a
// batch, ErrCorrupt or ErrUnsupportedMagic.
func Walk(b []byte, fn func(batch []byte, h Header) error) error {
	for len(b) > 0 {
		n, err := Size(b)
		if err != nil {
			return err
		}
		h, err := one(b[:min(n, len(b))])
		if err != nil {
			return err
		}
		if err := fn(b[:n:n], h); err != nil {
			if errors.Is(err, SkipRest) {
				return nil
			}
			return err
		}
		b = b[n:]
	}
	return nil
}
