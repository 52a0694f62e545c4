package wal

import (
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Dump writes a readable listing of one file to w, a line per frame. It goes on
// behind damage as far as it finds frames, and says where.
func Dump(fs vfs.FS, path string, w io.Writer) error { panic("wal: not yet") }
