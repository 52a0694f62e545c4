// Package segment holds the files that say where a partition's records lie and
// those that hold rewritten records (the bytes are drawn in
// docs/format/segment.md).
//
// A run index lists the runs of one data file, sorted by partition, level and
// offset: a sealed WAL file with its run index is a level 0 segment. A level 1
// data file holds bodies that were rewritten in that same order, and has a run
// index of the same form.
package segment
