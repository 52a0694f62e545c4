package record

import (
	"encoding/binary"
	"fmt"
)

// Thinning says what is to become of batches that log compaction passes over. It
// is reused from batch to batch and is not safe for concurrent use.
type Thinning struct {
	// Keep reports whether a record stays. Its bytes are gone when it returns.
	Keep func(*Record) bool
	// Horizon, if not 0, is the time in ms from which on tombstones may be
	// removed. It is noted in a batch that keeps one and has no such note yet
	// (KIP-534); with Always in any batch that has none.
	Horizon int64
	Always  bool

	stays []bool // by record
	raw   []byte // of those that stay
}

// Thin makes of a valid batch one with fewer records and appends it to dst.
// Base offset, last offset, producer and codec stay, so that nothing but gaps
// within the batch shows; the largest timestamp is that of what is left. It
// returns how many records are left; if there are none, or all of them without
// a new note, nothing is appended and changed is true or false. Errors are
// those of Records.
func (t *Thinning) Thin(dst, batch []byte) (out []byte, left int, changed bool, err error) {
	h, err := one(batch)
	if err != nil {
		return dst, 0, false, err
	}
	if err := h.check(); err != nil {
		return dst, 0, false, err
	}
	body := batch[HeaderSize:]
	if c := h.Codec(); c != None {
		buf := getBuffer()
		defer putBuffer(buf)
		if *buf, err = Decompress((*buf)[:0], c, body); err != nil {
			return dst, 0, false, fmt.Errorf("decompressing %s records: %w", c, err)
		}
		body = *buf
	}
	note := t.Horizon != 0 && !h.DeleteHorizon()
	newest, tombstone := int64(NoTimestamp), t.Always
	t.stays = t.stays[:0]
	err = h.each(body, func(r Record) error {
		stays := t.Keep(&r)
		t.stays = append(t.stays, stays)
		if !stays {
			changed = true
			return nil
		}
		left++
		newest = max(newest, r.Timestamp)
		tombstone = tombstone || r.Value == nil
		return nil
	})
	if err != nil || left == 0 {
		return dst, left, changed, err
	}
	note = note && tombstone
	if !changed && !note {
		return dst, left, false, nil
	}
	was := h
	if note {
		h.Attributes |= attrDeleteHorizon
		h.BaseTimestamp = t.Horizon
	}
	if !h.LogAppendTime() {
		h.MaxTimestamp = newest
	}
	h.Count = int32(left)
	t.raw = was.thinned(t.raw[:0], body, t.stays, h.BaseTimestamp)
	out, err = appendBatch(dst, h, h.Codec().DefaultLevel(), t.raw)
	return out, left, true, err
}

// thinned appends the records that stay, dated from another base timestamp.
func (h *Header) thinned(dst, body []byte, stays []bool, base int64) []byte {
	r := reader{b: body}
	for _, stays := range stays {
		at := r.b
		rec, delta, _ := h.next(&r)
		switch raw := at[:len(at)-len(r.b)]; {
		case !stays:
		case base == h.BaseTimestamp:
			dst = append(dst, raw...)
		default:
			dst = appendRecord(dst, &rec, rec.Timestamp-base, delta)
		}
	}
	return dst
}

// appendRecord appends a record in its stored form.
func appendRecord(dst []byte, r *Record, time, delta int64) []byte {
	size := 1 + varintLen(time) + varintLen(delta) + bytesLen(r.Key) + bytesLen(r.Value) + varintLen(int64(r.Headers.n)) + len(r.Headers.raw)
	dst = binary.AppendVarint(dst, int64(size))
	dst = append(dst, 0) // attributes
	dst = binary.AppendVarint(dst, time)
	dst = binary.AppendVarint(dst, delta)
	dst = appendBytes(dst, r.Key)
	dst = appendBytes(dst, r.Value)
	dst = binary.AppendVarint(dst, int64(r.Headers.n))
	return append(dst, r.Headers.raw...)
}

func varintLen(v int64) int {
	n := 1
	for u := uint64(v)<<1 ^ uint64(v>>63); u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

func bytesLen(b []byte) int {
	if b == nil {
		return 1
	}
	return varintLen(int64(len(b))) + len(b)
}
