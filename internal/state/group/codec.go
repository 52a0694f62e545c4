package group

import (
	"math"

	"github.com/polylog-mq/polylog/internal/codec"
	"github.com/polylog-mq/polylog/internal/record"
)

// reader reads the encodings of commands and pages; docs/format/group.md draws
// them.
type reader struct{ codec.Reader }

func newReader(b []byte) *reader { return &reader{codec.NewReader(b)} }

// name reads a string that Check has seen.
func (r *reader) name() string { return r.String(MaxName) }

// blob reads bytes of at most so many, copied; nil if there are none.
func (r *reader) blob(most int) []byte { return append([]byte(nil), r.Bytes(most)...) }

func (r *reader) int32() int32 { return int32(r.Varint(math.MinInt32, math.MaxInt32)) }

func (r *reader) int64() int64 { return r.Varint(math.MinInt64, math.MaxInt64) }

func (r *reader) epoch() int16 { return int16(r.Varint(math.MinInt16, math.MaxInt16)) }

func (r *reader) uint64() uint64 { return r.Uvarint(math.MaxUint64) }

func (r *reader) time() record.LogTime { return record.LogTime(r.int64()) }

func (r *reader) topic() record.TopicID { return record.TopicID(r.uint64()) }

// count reads the length of a list whose elements take at least size bytes.
func (r *reader) count(size int) int { return r.Count(math.MaxInt32, size) }
