package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// formatVersion is the version of the file format that is written and the only
// one that is read.
const formatVersion = 1

var fileMagic = [8]byte{'P', 'O', 'L', 'Y', 'W', 'A', 'L', '\n'}

// fileHeader begins every file. It is durable, together with the hard states
// behind it, before the file gets its name; so a named file with a bad head is
// damaged, whatever else is true.
type fileHeader struct {
	version uint16
	lane    uint16
	salt    uint32
	num     FileNum
	size    int64  // where the file ends when full
	first   uint64 // the sequence of its first frame
	heads   uint32 // how many hard states follow, repeated from earlier files
}

func (h *fileHeader) encode(dst *[headerSize]byte) {
	le := binary.LittleEndian
	*dst = [headerSize]byte{}
	copy(dst[0:8], fileMagic[:])
	le.PutUint16(dst[8:], h.version)
	le.PutUint16(dst[10:], h.lane)
	le.PutUint32(dst[12:], h.salt)
	le.PutUint64(dst[16:], uint64(h.num))
	le.PutUint64(dst[24:], uint64(h.size))
	le.PutUint64(dst[32:], h.first)
	le.PutUint32(dst[40:], h.heads)
	le.PutUint32(dst[60:], checksum(0, dst[:60]))
}

// decodeFileHeader returns a non-empty reason when b is not a file's header.
func decodeFileHeader(b []byte) (h fileHeader, reason string) {
	le := binary.LittleEndian
	switch {
	case len(b) < headerSize:
		return h, "the file is too short to have a header"
	case !bytes.Equal(b[:8], fileMagic[:]):
		return h, "it does not begin like a wal file"
	case le.Uint32(b[60:]) != checksum(0, b[:60]):
		return h, "the file header's checksum is wrong"
	}
	h = fileHeader{
		version: le.Uint16(b[8:]),
		lane:    le.Uint16(b[10:]),
		salt:    le.Uint32(b[12:]),
		num:     FileNum(le.Uint64(b[16:])),
		size:    int64(le.Uint64(b[24:])),
		first:   le.Uint64(b[32:]),
		heads:   le.Uint32(b[40:]),
	}
	switch {
	case h.version != formatVersion:
		reason = fmt.Sprintf("its format version is %d, this program reads %d", h.version, formatVersion)
	case !validSize(h.size):
		reason = fmt.Sprintf("its header gives the impossible size %d", h.size)
	}
	return h, reason
}

func validSize(n int64) bool { return n >= MinFileSize && n <= maxFileSize && n%pageSize == 0 }

// check holds the header against the place where the file was found.
func (h *fileHeader) check(lane uint16, num FileNum) (reason string) {
	switch {
	case h.lane != lane:
		return fmt.Sprintf("it belongs to lane %d, not %d", h.lane, lane)
	case h.num != num:
		return fmt.Sprintf("it is file %d under the name of file %d", h.num, num)
	}
	return ""
}

const (
	fileSuffix  = ".wal"
	sparePrefix = "spare-"
)

func fileName(n FileNum) string { return fmt.Sprintf("%016d%s", n, fileSuffix) }

func parseFileName(name string) (FileNum, bool) {
	digits, ok := strings.CutSuffix(name, fileSuffix)
	n, err := strconv.ParseUint(digits, 10, 64)
	return FileNum(n), ok && err == nil && n > 0 && fileName(FileNum(n)) == name
}

func spareName(id uint64) string { return fmt.Sprintf("%s%08d", sparePrefix, id) }

func parseSpareName(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, sparePrefix)
	id, err := strconv.ParseUint(digits, 10, 64)
	return id, ok && err == nil && spareName(id) == name
}
