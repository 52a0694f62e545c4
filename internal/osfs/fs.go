package osfs

import "github.com/cockroachdb/pebble/v2/vfs"

// FS is the machine's file system, as New returns it. All methods may be called
// concurrently.
type FS struct {
	system
	reaper *reaper // nil: removed files are freed at once
}

// system is what FS adds to.
type system struct{ vfs.FS }

var _ vfs.FS = FS{}

// New returns the machine's file system.
func New() FS { return FS{system{vfs.Default}, &reaper{}} }

// Unwrap returns Pebble's file system, which this one is but for how it opens and removes files.
func (fs FS) Unwrap() vfs.FS { return fs.FS }
