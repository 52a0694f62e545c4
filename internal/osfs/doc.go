// Package osfs is the machine's own file system, as Pebble's vfs shows it,
// with two things more: files that are written past the page cache, and the removal
// of large ones little by little.
package osfs
