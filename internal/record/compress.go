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
	switch c {
	case None:
		return append(dst, src...), nil
	case Gzip:
		return compressGzip(dst, src)
	case Snappy:
		n := len(dst)
		dst = append(dst, make([]byte, s2.MaxEncodedLen(len(src)))...)
		return dst[:n+len(s2.EncodeSnappy(dst[n:], src))], nil
	case LZ4:
		return compressLZ4(dst, src)
	case Zstd:
		return zstdEncoder().EncodeAll(src, dst), nil
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
	gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}
	gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}
	lz4Writers  = sync.Pool{New: func() any { return newLZ4Writer() }}
	lz4Readers  = sync.Pool{New: func() any { return lz4.NewReader(nil) }}

	zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true))
		if err != nil {
			panic(fmt.Sprintf("record: zstd encoder options: %v", err))
		}
		return e
	})
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

func compressGzip(dst, src []byte) ([]byte, error) {
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
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

func newLZ4Writer() *lz4.Writer {
	w := lz4.NewWriter(nil)
	if err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.ConcurrencyOption(1)); err != nil {
		panic(fmt.Sprintf("record: lz4 options: %v", err))
	}
	return w
}

func compressLZ4(dst, src []byte) ([]byte, error) {
	w := lz4Writers.Get().(*lz4.Writer)
	defer lz4Writers.Put(w)
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
