package segment

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// IndexInfo is what a checkpoint remembers of a run index.
type IndexInfo struct {
	Size   int64  // of the index file, in bytes
	Digest uint32 // stands for all bytes of the index file
	Runs   uint64
	Spans  []Span
}

// IndexWriter writes a run index. After an error the file is of no use.
type IndexWriter struct {
	path   string
	f      vfs.File
	w      *bufio.Writer
	num    uint64
	level  uint8
	off    uint64
	block  []byte
	inRuns int  // runs in block
	prev   Run  // the last run added
	cut    bool // the next run begins a span

	refs  []blockRef
	spans []Span
	runs  uint64
}

// CreateIndex begins the run index of data file num of the given level at
// path, which must not be in use.
func CreateIndex(fs vfs.FS, path string, level uint8, num uint64) (*IndexWriter, error) {
	f, err := fs.Create(path, category)
	if err != nil {
		return nil, fmt.Errorf("creating a run index: %w", err)
	}
	w := &IndexWriter{path: path, f: f, w: bufio.NewWriterSize(f, indexBuffer), num: num, level: level, cut: true}
	w.write(header{level, num}.appendTo(nil, indexMagic))
	return w, nil
}

// write leaves the error to bufio.Writer, which keeps it for Finish.
func (w *IndexWriter) write(b []byte) {
	n, _ := w.w.Write(b)
	w.off += uint64(n)
}

// Add appends a run of which all records are wanted. Runs come sorted by
// partition, level and offset.
func (w *IndexWriter) Add(r *Run) { w.AddOf(r, int64(r.Last-r.Base)+1) }

// AddOf appends a run of which so many records are wanted; see Add.
func (w *IndexWriter) AddOf(r *Run, records int64) {
	same := w.runs > 0 && r.Partition == w.prev.Partition && r.Level == w.prev.Level
	if w.inRuns > 0 && (len(w.block) >= blockBytes || w.inRuns == MaxBlockRuns) {
		w.endBlock()
	}
	var prev Run
	if w.inRuns > 0 {
		prev = w.prev
	} else {
		w.refs = append(w.refs, blockRef{off: w.off, partition: r.Partition, level: r.Level, base: r.Base})
	}
	w.block = appendRun(w.block, &prev, r)
	w.inRuns++
	w.runs++
	w.prev = *r
	if w.cut || !same {
		w.spans = append(w.spans, Span{
			Partition: r.Partition, Level: r.Level, First: r.Base, MaxTimestamp: r.MaxTimestamp,
			Block: uint32(len(w.refs) - 1),
		})
		w.cut = false
	}
	s := &w.spans[len(w.spans)-1]
	s.Last, s.MaxTimestamp = r.Last, max(s.MaxTimestamp, r.MaxTimestamp)
	s.Runs++
	s.Bytes += uint64(r.Len)
	s.Records += uint64(records)
	if r.Flags&Shared != 0 {
		s.Shared += uint64(r.Len)
	}
}

// Cut makes the next run begin a span of its own, because runs that lie in
// another file come between it and the last.
func (w *IndexWriter) Cut() { w.cut = true }

func (w *IndexWriter) endBlock() {
	ref := &w.refs[len(w.refs)-1]
	ref.len, ref.runs = uint32(len(w.block)), uint32(w.inRuns)
	ref.crc = blockCRC(w.num, len(w.refs)-1, w.block)
	w.write(w.block)
	w.block, w.inRuns = w.block[:0], 0
}

// Finish writes what is left and syncs the file; the directory is left to the
// caller. dataLen and dataCRC describe the data file; the checksum is that of
// a level 1 file and 0 for a WAL file.
func (w *IndexWriter) Finish(dataLen int64, dataCRC uint32) (IndexInfo, error) {
	if w.inRuns > 0 {
		w.endBlock()
	}
	f := footer{header: header{w.level, w.num}, runs: w.runs, dataLen: uint64(dataLen), dataCRC: dataCRC}
	b := binary.AppendUvarint(nil, uint64(len(w.refs)))
	var prev blockRef
	for i := range w.refs {
		b = appendBlockRef(b, &prev, &w.refs[i])
		prev = w.refs[i]
	}
	f.table = w.section(b)
	b = binary.AppendUvarint(b[:0], uint64(len(w.spans)))
	var last Span
	for i := range w.spans {
		b = appendSpan(b, &last, &w.spans[i])
		last = w.spans[i]
	}
	f.spans = w.section(b)
	b = f.appendTo(b[:0])
	w.write(b)
	digest := binary.LittleEndian.Uint32(b[footerSize-4:])
	err := w.w.Flush()
	if err == nil {
		err = w.f.Sync()
	}
	if cerr := w.f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return IndexInfo{}, fmt.Errorf("writing run index %s: %w", w.path, err)
	}
	return IndexInfo{Size: int64(w.off), Digest: digest, Runs: w.runs, Spans: w.spans}, nil
}

func (w *IndexWriter) section(b []byte) section {
	s := section{off: w.off, len: uint32(len(b)), crc: crc32.Checksum(b, castagnoli)}
	w.write(b)
	return s
}

// Abort closes the file and leaves it to be removed.
func (w *IndexWriter) Abort() { _ = w.f.Close() }
