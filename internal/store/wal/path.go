package wal

import (
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FilePath returns where in a lane's directory file n lies.
func FilePath(fs vfs.FS, dir string, n FileNum) string { return fs.PathJoin(dir, fileName(n)) }

// Files returns the numbers of the files in a lane's directory, in order.
func Files(fs vfs.FS, dir string) ([]FileNum, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list wal files: %w", err)
	}
	var nums []FileNum
	for _, name := range names {
		if n, ok := parseFileName(name); ok {
			nums = append(nums, n)
		}
	}
	slices.Sort(nums)
	return nums, nil
}

// DropSpare deletes one spare file of a lane that is not open, to make room on
// a full disk; false if there is none.
func DropSpare(fs vfs.FS, dir string) (bool, error) {
	names, err := fs.List(dir)
	if err != nil {
		return false, fmt.Errorf("list wal files: %w", err)
	}
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		if _, ok := parseSpareName(name); !ok {
			continue
		}
		if err := fs.Remove(fs.PathJoin(dir, name)); err != nil {
			return false, fmt.Errorf("delete a spare wal file: %w", err)
		}
		return true, syncDir(fs, dir)
	}
	return false, nil
}

// Steps returns how often Flush has written something since Open.
func (l *Lane) Steps() uint64 { return l.steps.Load() }
