package segment

import (
	"fmt"
	"hash/crc32"
	"sort"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/record"
)

// Reader reads run indexes and level 1 data files, with a bounded number of
// open files and of decoded blocks. All methods may be called from any
// goroutine.
type Reader struct {
	files *files
	cache *cache
}

// NewReader returns a reader that keeps up to handles files open and
// cacheBytes bytes of decoded blocks. It allocates as it is used.
func NewReader(fs vfs.FS, handles, cacheBytes int) *Reader {
	return &Reader{files: newFiles(fs, handles), cache: newCache(cacheBytes)}
}

// Close closes the open files.
func (r *Reader) Close() { r.files.close() }

// Index is a run index that can be searched. It holds no file open and no
// block in memory.
type Index struct {
	Path   string
	Level  uint8
	Num    uint64
	Size   int64
	Digest uint32
	Runs   uint64

	DataLen int64  // of the data file
	DataCRC uint32 // of a level 1 data file's bodies

	table section
}

// Open reads the top of the run index at path. Its digest must be the one
// given. Errors: *DamageError, ErrGone.
func (r *Reader) Open(path string, digest uint32) (*Index, []Span, error) {
	x, spans, err := openIndex(r.files.fs, path)
	if err != nil {
		return nil, nil, err
	}
	if x.Digest != digest {
		return nil, nil, damaged(path, x.Size-footerSize, "it is not the run index that the checkpoint counts on (digest %08x, want %08x)", x.Digest, digest)
	}
	return x, spans, nil
}

// openIndex does not go through the table of open files: a restart reads the
// tops of all indexes once.
func openIndex(fs vfs.FS, path string) (*Index, []Span, error) {
	c := newFiles(fs, 1)
	defer c.close()
	st, err := fs.Stat(path)
	if oserror.IsNotExist(err) {
		return nil, nil, fmt.Errorf("%s: %w", path, ErrGone)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("opening a run index: %w", err)
	}
	size := st.Size()
	if size < headerSize+footerSize {
		return nil, nil, damaged(path, size, "the file is too short to be a run index")
	}
	// One read usually fetches everything that is needed.
	tail := make([]byte, min(size, 8<<10))
	at := size - int64(len(tail))
	if err := c.readAt(path, tail, at); err != nil {
		return nil, nil, err
	}
	f, digest, err := parseFooter(tail[len(tail)-footerSize:], path, size-footerSize)
	if err != nil {
		return nil, nil, err
	}
	b := make([]byte, f.spans.len)
	if int64(f.spans.off) >= at {
		copy(b, tail[int64(f.spans.off)-at:])
	} else if err := c.readAt(path, b, int64(f.spans.off)); err != nil {
		return nil, nil, err
	}
	spans, ok := decodeSpans(b, f.version)
	if crc32.Checksum(b, castagnoli) != f.spans.crc || !ok {
		return nil, nil, damaged(path, int64(f.spans.off), "the checksum of the spans does not match")
	}
	return &Index{
		Path: path, Level: f.level, Num: f.num, Size: size, Digest: digest, Runs: f.runs,
		DataLen: int64(f.dataLen), DataCRC: f.dataCRC, table: f.table,
	}, spans, nil
}

// Forget drops what is kept of an index before its file is removed.
func (r *Reader) Forget(x *Index) {
	r.files.forget(x.Path)
	r.cache.forget(x)
}

// ForgetData drops what is kept of a data file before it is removed.
func (r *Reader) ForgetData(path string) { r.files.forget(path) }

// ReadData fills p from a data file at offset off. Errors: *DamageError when
// the file ends before, ErrGone.
func (r *Reader) ReadData(path string, p []byte, off int64) error {
	return r.files.readAt(path, p, off)
}

// PrefetchData asks the kernel to read so many bytes of a data file into the page
// cache, in large pieces and without waiting for them. It is only advice.
func (r *Reader) PrefetchData(path string, off, bytes int64) {
	if h, err := r.files.acquire(path); err == nil {
		_ = h.f.Prefetch(off, bytes)
		r.files.release(h)
	}
}

func (r *Reader) blockTable(x *Index) ([]blockRef, error) {
	k := blockKey{x, tableBlock}
	if v := r.cache.get(k); v != nil {
		return v.table, nil
	}
	b := make([]byte, x.table.len)
	if err := r.files.readAt(x.Path, b, int64(x.table.off)); err != nil {
		return nil, err
	}
	refs, ok := decodeTable(b)
	if crc32.Checksum(b, castagnoli) != x.table.crc || !ok {
		return nil, damaged(x.Path, int64(x.table.off), "the checksum of the block table does not match")
	}
	r.cache.put(&cached{key: k, table: refs})
	return refs, nil
}

// Block returns the runs of a block, shared and immutable; none behind the
// last block.
func (r *Reader) Block(x *Index, block int) ([]Run, error) {
	refs, err := r.blockTable(x)
	if err != nil || block >= len(refs) {
		return nil, err
	}
	k := blockKey{x, block}
	if v := r.cache.get(k); v != nil {
		return v.runs, nil
	}
	runs, err := r.readBlock(x, refs, block, nil)
	if err != nil {
		return nil, err
	}
	r.cache.put(&cached{key: k, runs: runs})
	return runs, nil
}

// readBlock decodes a block into dst, past the cache.
func (r *Reader) readBlock(x *Index, refs []blockRef, block int, dst []Run) ([]Run, error) {
	ref := &refs[block]
	if uint64(ref.len) > uint64(x.Size) {
		return nil, damaged(x.Path, int64(ref.off), "a block claims %d bytes", ref.len)
	}
	b := make([]byte, ref.len)
	if err := r.files.readAt(x.Path, b, int64(ref.off)); err != nil {
		return nil, err
	}
	if blockCRC(x.Num, block, b) != ref.crc {
		return nil, damaged(x.Path, int64(ref.off), "the checksum of block %d does not match", block)
	}
	if cap(dst) < int(ref.runs) {
		dst = make([]Run, 0, ref.runs)
	}
	runs, ok := decodeRuns(dst[:0], b, int(ref.runs))
	if !ok {
		return nil, damaged(x.Path, int64(ref.off), "block %d cannot be decoded", block)
	}
	return runs, nil
}

// Cursor walks over the runs of a span.
type Cursor struct {
	r      *Reader
	x      *Index
	s      Span
	block  int
	runs   []Run // of the block, from the next run on
	cached bool
}

// Seek returns a cursor at the first run of span s that ends at offset from or
// later.
func (r *Reader) Seek(x *Index, s *Span, from record.Offset) (*Cursor, error) {
	refs, err := r.blockTable(x)
	if err != nil {
		return nil, err
	}
	// The last block whose first run begins at or before from holds it.
	first := int(s.Block)
	if first >= len(refs) {
		return nil, damaged(x.Path, int64(x.table.off), "a span names block %d of %d", first, len(refs))
	}
	n := sort.Search(len(refs)-first-1, func(i int) bool {
		ref := &refs[first+1+i]
		return ref.partition != s.Partition || ref.level != s.Level || ref.base > from
	})
	c := &Cursor{r: r, x: x, s: *s, block: first + n, cached: true}
	if c.runs, err = r.Block(x, c.block); err != nil {
		return nil, err
	}
	start := max(from, s.First)
	skip := sort.Search(len(c.runs), func(i int) bool {
		run := &c.runs[i]
		return run.Partition > s.Partition ||
			run.Partition == s.Partition && (run.Level > s.Level || run.Level == s.Level && run.Last >= start)
	})
	c.runs = c.runs[skip:]
	return c, nil
}

// Scan returns a cursor at the first run of a span that will be read whole: it
// leaves the cache alone.
func (r *Reader) Scan(x *Index, s *Span) (*Cursor, error) {
	c, err := r.Seek(x, s, s.First)
	if err == nil {
		c.cached = false
	}
	return c, err
}

// Next returns the next run of the span, nil behind the last. It is valid
// until the next call.
func (c *Cursor) Next() (*Run, error) {
	for len(c.runs) == 0 {
		if err := c.load(); err != nil {
			return nil, err
		}
		if len(c.runs) == 0 {
			return nil, nil
		}
	}
	run := &c.runs[0]
	if run.Partition != c.s.Partition || run.Level != c.s.Level || run.Base > c.s.Last {
		return nil, nil
	}
	c.runs = c.runs[1:]
	return run, nil
}

func (c *Cursor) load() (err error) {
	c.block++
	if c.cached {
		c.runs, err = c.r.Block(c.x, c.block)
		return err
	}
	refs, err := c.r.blockTable(c.x)
	if err != nil || c.block >= len(refs) {
		return err
	}
	c.runs, err = c.r.readBlock(c.x, refs, c.block, nil)
	return err
}
