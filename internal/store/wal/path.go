package wal

import "github.com/cockroachdb/pebble/v2/vfs"

// FilePath returns where in a lane's directory file n lies.
func FilePath(fs vfs.FS, dir string, n FileNum) string { return fs.PathJoin(dir, fileName(n)) }
