package checkpoint

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Dump writes a readable listing of the checkpoint database in dir to w. It
// opens the database read-only.
func Dump(fs vfs.FS, dir string, w io.Writer) error {
	d, err := openDB(fs, dir, slog.New(slog.DiscardHandler), func(o *pebble.Options) { o.ReadOnly = true })
	if err != nil {
		return err
	}
	s, err := d.Load()
	if err == nil {
		b := bufio.NewWriter(w)
		s.print(b)
		for i := range s.Groups {
			g := &s.Groups[i]
			fmt.Fprintf(b, "pages of group %d\n", g.ID)
			if err = d.Pages(g.ID, func(key, value []byte) error {
				fmt.Fprintf(b, "  %x  %d bytes\n", key, len(value))
				return nil
			}); err != nil {
				break
			}
		}
		if ferr := b.Flush(); err == nil {
			err = ferr
		}
	}
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

func (s *State) print(w io.Writer) {
	if s.Meta != nil {
		fmt.Fprintf(w, "cluster %s node %d\n", s.Meta.Cluster, s.Meta.Node)
	}
	fmt.Fprintf(w, "wal from file %d, reached file %d offset %d, next segment %d\n", s.WALFrom, s.End.File, s.End.Offset, s.NextSegment)
	for i := range s.Groups {
		g := &s.Groups[i]
		fmt.Fprintf(w, "group %d applied %d term %d, log compacted to %d term %d, frames count from file %d offset %d, conf %x\n",
			g.ID, g.Applied, g.Term, g.Compacted, g.CompactedTerm, g.ResetFile, g.ResetOffset, g.Conf)
	}
	for i := range s.Files {
		f := &s.Files[i]
		fmt.Fprintf(w, "level %d file %d: %d bytes, checksum %08x, index version %d digest %08x final %t\n",
			f.Level, f.Num, f.DataLen, f.DataCRC, f.Gen, f.Digest, f.Final)
		for _, m := range f.Moved {
			fmt.Fprintf(w, "  partition %d level %d moved from %d to below %d\n", m.Partition, m.Level, m.From, m.Below)
		}
	}
	for i := range s.Partitions {
		p := &s.Partitions[i]
		fmt.Fprintf(w, "partition %d dropped %t floors %v compacted below %d\n", p.ID, p.Dropped, p.Floors, p.Cleaned)
	}
}
