package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Compress appends src to dst, compressed with c as Kafka's clients do: gzip
// and zstd with one member, snappy as a raw block, lz4 as one frame of
// independent 64 KiB blocks.
func Compress(dst []byte, c Codec, src []byte) ([]byte, error) {
	return CompressLevel(dst, c, c.DefaultLevel(), src)
}

// CompressLevel is Compress with a level, in the numbers of Kafka's
// compression.gzip.level (1 to 9, -1 for the default), compression.lz4.level (1
// to 17) and compression.zstd.level (up to 22). The libraries have fewer levels;
// the nearest is taken. None and Snappy have none.
func CompressLevel(dst []byte, c Codec, level int32, src []byte) ([]byte, error) {
	switch c {
	case None:
		return append(dst, src...), nil
	case Gzip:
		return compressGzip(dst, level, src)
	case Snappy:
		n := len(dst)
		dst = append(dst, make([]byte, s2.MaxEncodedLen(len(src)))...)
		return dst[:n+len(s2.EncodeSnappy(dst[n:], src))], nil
	case LZ4:
		return compressLZ4(dst, level, src)
	case Zstd:
		return zstdEncoders[zstd.EncoderLevelFromZstd(int(level))]().EncodeAll(src, dst), nil
	default:
		return dst, fmt.Errorf("%w: number %d", ErrUnsupportedCodec, c)
	}
}

// Decompress appends what src holds under c to dst. It never produces more
// than MaxInflated bytes (ErrTooLarge); ErrInvalid says that src is not what c
// writes.
func Decompress(dst []byte, c Codec, src []byte) ([]byte, error) {
	switch c {
	case None:
		if len(src) > MaxInflated {
			return dst, ErrTooLarge
		}
		return append(dst, src...), nil
	case Gzip:
		return decompressGzip(dst, src)
	case Snappy:
		if bytes.HasPrefix(src, xerialMagic) {
			return decompressXerial(dst, src)
		}
		return decompressSnappy(dst, src, MaxInflated)
	case LZ4:
		return decompressLZ4(dst, src)
	case Zstd:
		return decompressZstd(dst, src)
	default:
		return dst, fmt.Errorf("%w: number %d", ErrUnsupportedCodec, c)
	}
}

// Coders are costly to make and hold no state between uses.
var (
	gzipWriters [gzip.BestCompression - gzip.DefaultCompression + 1]sync.Pool // by level, from the default's -1
	gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}
	lz4Writers  [len(lz4Levels)]sync.Pool
	lz4Readers  = sync.Pool{New: func() any { return lz4.NewReader(nil) }}

	zstdEncoders = [...]func() *zstd.Encoder{
		zstd.SpeedFastest:           newZstdEncoder(zstd.SpeedFastest),
		zstd.SpeedDefault:           newZstdEncoder(zstd.SpeedDefault),
		zstd.SpeedBetterCompression: newZstdEncoder(zstd.SpeedBetterCompression),
		zstd.SpeedBestCompression:   newZstdEncoder(zstd.SpeedBestCompression),
	}
	zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0),
			zstd.WithDecoderMaxMemory(MaxInflated), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			panic(fmt.Sprintf("record: zstd decoder options: %v", err))
		}
		return d
	})
)

// appender is an io.Writer onto a byte slice.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

// newZstdEncoder returns a function that makes an encoder the first time.
func newZstdEncoder(level zstd.EncoderLevel) func() *zstd.Encoder {
	return sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true))
		if err != nil {
			panic(fmt.Sprintf("record: zstd encoder options: %v", err))
		}
		return e
	})
}

// DefaultLevel is the level that Kafka gives a codec that nobody gave one.
func (c Codec) DefaultLevel() int32 {
	switch c {
	case Gzip:
		return gzip.DefaultCompression
	case LZ4:
		return 9
	case Zstd:
		return 3
	default:
		return 0
	}
}

func compressGzip(dst []byte, level int32, src []byte) ([]byte, error) {
	level = min(max(level, gzip.DefaultCompression), gzip.BestCompression)
	pool := &gzipWriters[level-gzip.DefaultCompression]
	w, ok := pool.Get().(*gzip.Writer)
	if !ok {
		var err error
		if w, err = gzip.NewWriterLevel(nil, int(level)); err != nil {
			return dst, err
		}
	}
	defer pool.Put(w)
	out := appender{dst}
	w.Reset(&out)
	if _, err := w.Write(src); err != nil {
		return dst, err
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	return out.b, nil
}

func decompressGzip(dst, src []byte) ([]byte, error) {
	r := gzipReaders.Get().(*gzip.Reader)
	defer gzipReaders.Put(r)
	if err := r.Reset(bytes.NewReader(src)); err != nil {
		return dst, invalid(err)
	}
	return readAll(dst, r)
}

// lz4Levels are the library's levels for Kafka's, from 1; those above are the
// last. Kafka's default, 9, is its fast compressor, and so it is here.
var lz4Levels = [...]lz4.CompressionLevel{
	lz4.Level1, lz4.Level2, lz4.Level3, lz4.Level4, lz4.Level5, lz4.Level6, lz4.Level7, lz4.Level8, lz4.Fast, lz4.Level9,
}

func newLZ4Writer(level lz4.CompressionLevel) (*lz4.Writer, error) {
	w := lz4.NewWriter(nil)
	err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.ConcurrencyOption(1),
		lz4.CompressionLevelOption(level))
	return w, err
}

func compressLZ4(dst []byte, level int32, src []byte) ([]byte, error) {
	at := min(max(level, 1), int32(len(lz4Levels))) - 1
	w, ok := lz4Writers[at].Get().(*lz4.Writer)
	if !ok {
		var err error
		if w, err = newLZ4Writer(lz4Levels[at]); err != nil {
			return dst, err
		}
	}
	defer lz4Writers[at].Put(w)
	out := appender{dst}
	w.Reset(&out)
	if _, err := w.Write(src); err != nil {
		return dst, err
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	return out.b, nil
}

func decompressLZ4(dst, src []byte) ([]byte, error) {
	r := lz4Readers.Get().(*lz4.Reader)
	defer lz4Readers.Put(r)
	r.Reset(bytes.NewReader(src))
	return readAll(dst, r)
}

// readAll appends all that r yields, up to MaxInflated bytes.
func readAll(dst []byte, r io.Reader) ([]byte, error) {
	start := len(dst)
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst)-start > MaxInflated:
			return dst[:start], ErrTooLarge
		case errors.Is(err, io.EOF):
			return dst, nil
		case err != nil:
			return dst[:start], invalid(err)
		}
	}
}

func decompressZstd(dst, src []byte) ([]byte, error) {
	out, err := zstdDecoder().DecodeAll(src, dst)
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return dst, fmt.Errorf("%w: %w", ErrTooLarge, err)
	default:
		return dst, invalid(err)
	}
}

// xerialMagic begins the framing of the snappy-java library: the magic, two
// 4-byte versions, then blocks with a 4-byte length each.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const xerialHeader = 16

func decompressXerial(dst, src []byte) ([]byte, error) {
	start := len(dst)
	if len(src) < xerialHeader {
		return dst, fmt.Errorf("%w: snappy frame header is cut off", ErrInvalid)
	}
	for b := src[xerialHeader:]; len(b) > 0; {
		if len(b) < 4 {
			return dst[:start], fmt.Errorf("%w: snappy block length is cut off", ErrInvalid)
		}
		n := int64(binary.BigEndian.Uint32(b))
		if n > int64(len(b)-4) {
			return dst[:start], fmt.Errorf("%w: snappy block of %d bytes, %d are left", ErrInvalid, n, len(b)-4)
		}
		var err error
		dst, err = decompressSnappy(dst, b[4:4+n], MaxInflated-(len(dst)-start))
		if err != nil {
			return dst[:start], err
		}
		b = b[4+n:]
	}
	return dst, nil
}

// decompressSnappy appends one raw block of at most limit bytes.
func decompressSnappy(dst, src []byte, limit int) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	if err != nil {
		return dst, invalid(err)
	}
	if n > limit {
		return dst, ErrTooLarge
	}
	// Snappy's densest element copies 64 bytes for 3: a length beyond that is
	// a lie, and is not allocated for.
	if n > 32*len(src) {
		return dst, fmt.Errorf("%w: snappy block of %d bytes claims to hold %d", ErrInvalid, len(src), n)
	}
	start := len(dst)
	dst = append(dst, make([]byte, n)...)
	if _, err := s2.Decode(dst[start:], src); err != nil {
		return dst[:start], invalid(err)
	}
	return dst, nil
}

func invalid(err error) error { return fmt.Errorf("%w: %w", ErrInvalid, err) }

var buffers = sync.Pool{New: func() any { return new([]byte) }}

func getBuffer() *[]byte { return buffers.Get().(*[]byte) }

// putBuffer gives a buffer back, unless it is so large that keeping it would
// pin memory for one unusual batch.
func putBuffer(b *[]byte) {
	if cap(*b) <= maxPooledBuffer {
		buffers.Put(b)
	}
}
