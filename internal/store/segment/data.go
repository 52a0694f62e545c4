package segment

import (
	"fmt"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// category names our writes to file systems that account for them.
const category vfs.DiskWriteCategory = "polylog-segment"

// DataWriter writes a level 1 data file in large sequential writes.
type DataWriter struct {
	path string
	f    vfs.File
	buf  []byte
	off  int64 // of the end of buf
	crc  uint32
	err  error
}

// CreateData begins level 1 data file num at path, which must not be in use.
func CreateData(fs vfs.FS, path string, num uint64) (*DataWriter, error) {
	f, err := fs.Create(path, category)
	if err != nil {
		return nil, fmt.Errorf("creating a segment: %w", err)
	}
	f = vfs.NewSyncingFile(f, vfs.SyncingFileOptions{BytesPerSync: bytesPerSync})
	w := &DataWriter{path: path, f: f, buf: header{1, num}.appendTo(make([]byte, 0, writeBuffer), dataMagic)}
	w.off = int64(len(w.buf))
	return w, nil
}

// Append adds a body and returns its position in the file. The bytes are
// copied. An error is kept for Finish.
func (w *DataWriter) Append(body []byte) uint32 {
	pos := uint32(w.off)
	w.off += int64(len(body))
	w.crc = crc32.Update(w.crc, castagnoli, body)
	for len(body) > 0 {
		n := copy(w.buf[len(w.buf):cap(w.buf)], body)
		w.buf = w.buf[:len(w.buf)+n]
		body = body[n:]
		if len(w.buf) == cap(w.buf) {
			w.flush()
		}
	}
	return pos
}

func (w *DataWriter) flush() {
	if w.err == nil {
		_, w.err = w.f.Write(w.buf)
	}
	w.buf = w.buf[:0]
}

// Size returns the length of the file so far, in bytes.
func (w *DataWriter) Size() int64 { return w.off }

// Finish writes what is left and syncs the file; the directory is left to the
// caller. It returns the file's length and the checksum of its bodies.
func (w *DataWriter) Finish() (size int64, crc uint32, err error) {
	w.flush()
	err = w.err
	if err == nil {
		err = w.f.Sync()
	}
	if cerr := w.f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return 0, 0, fmt.Errorf("writing segment %s: %w", w.path, err)
	}
	return w.off, w.crc, nil
}

// Abort closes the file and leaves it to be removed.
func (w *DataWriter) Abort() { _ = w.f.Close() }
