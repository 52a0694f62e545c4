// Package osfs is the machine's own file system, as Pebble's vfs shows it,
// with one thing more: files that are written past the page cache.
package osfs
