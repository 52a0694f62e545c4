package segment

import (
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Dump writes a readable listing of a run index or level 1 data file to w, a
// line per run. It goes on behind damage as far as it can, and says where.
func Dump(fs vfs.FS, path string, w io.Writer) error { panic("segment: not yet") }
