package segment

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/record"
)

// Dump writes a readable listing of a run index or level 1 data file to w: a
// line per span and run of an index, a line per batch of a data file. It goes
// on behind damage as far as it can, and says where.
func Dump(fs vfs.FS, path string, w io.Writer) error {
	f, err := fs.Open(path)
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	var magic [8]byte
	_, err = f.ReadAt(magic[:], 0)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	b := bufio.NewWriter(w)
	switch string(magic[:]) {
	case indexMagic:
		err = dumpIndex(fs, path, b)
	case dataMagic:
		err = dumpData(fs, path, b)
	default:
		err = damaged(path, 0, "it is neither a run index nor a segment")
	}
	return errors.Join(err, b.Flush())
}

func dumpIndex(fs vfs.FS, path string, w io.Writer) error {
	x, spans, err := openIndex(fs, path)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "run index of level %d file %d: %d bytes, digest %08x, %d runs, data of %d bytes with checksum %08x\n",
		x.Level, x.Num, x.Size, x.Digest, x.Runs, x.DataLen, x.DataCRC)
	for i := range spans {
		s := &spans[i]
		fmt.Fprintf(w, "span partition %d level %d offsets %d-%d runs %d bytes %d shared %d records %d largest time %d first block %d\n",
			s.Partition, s.Level, s.First, s.Last, s.Runs, s.Bytes, s.Shared, s.Records, s.MaxTimestamp, s.Block)
	}
	r := NewReader(fs, 1, 1)
	defer r.Close()
	refs, err := r.blockTable(x)
	if err != nil {
		return err
	}
	var firstErr error
	for i := range refs {
		runs, err := r.readBlock(x, refs, i, nil)
		if err != nil {
			fmt.Fprintf(w, "block %d: %v\n", i, err)
			firstErr = errors.Join(firstErr, err)
		}
		for k := range runs {
			fmt.Fprintf(w, "block %d %s\n", i, runs[k].String())
		}
	}
	return firstErr
}

// dumpData walks over the batches. The bodies lie back to back and consist of
// whole batches, so that no index is needed.
func dumpData(fs vfs.FS, path string, w io.Writer) (err error) {
	f, err := fs.Open(path)
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	head := make([]byte, record.HeaderSize)
	if _, err := f.ReadAt(head[:headerSize], 0); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	h, err := parseHeader(head, dataMagic, path)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "level %d segment %d: %d bytes\n", h.level, h.num, st.Size())
	var crc uint32
	for off := int64(headerSize); off < st.Size(); {
		if off+record.HeaderSize > st.Size() {
			return damaged(path, off, "the file ends inside of a batch")
		}
		if _, err := f.ReadAt(head, off); err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		n, err := record.Size(head)
		if err != nil || off+int64(n) > st.Size() {
			return damaged(path, off, "there is no record batch")
		}
		batch := make([]byte, n)
		if _, err := f.ReadAt(batch, off); err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		crc = crc32.Update(crc, castagnoli, batch)
		bh, err := record.Validate(batch, record.Checks{})
		if err != nil {
			fmt.Fprintf(w, "%d: damaged: %v\n", off, err)
		} else {
			fmt.Fprintf(w, "%d: %s\n", off, bh)
		}
		off += int64(n)
	}
	fmt.Fprintf(w, "checksum %08x\n", crc)
	return nil
}
