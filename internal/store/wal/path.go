package wal

import "github.com/cockroachdb/pebble/v2/vfs"

// FilePath returns where in a lane's directory file n lies.
func FilePath(fs vfs.FS, dir string, n FileNum) string { return fs.PathJoin(dir, fileName(n)) }

// Steps returns how often Flush has written something since Open.
func (l *Lane) Steps() uint64 { return l.steps.Load() }
