// Package checkpoint keeps the cuts of a store in Pebble: applied indexes,
// pages of state, floors and the set of files (docs/format/checkpoint.md). The
// database changes only by one synced batch per cut.
package checkpoint
