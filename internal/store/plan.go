package store

import "slices"

// Rewriting says when files are rewritten. The zero value means the defaults.
type Rewriting struct {
	// ShortRun is the average length of a run, in bytes, below which a level 0
	// file is worth rewriting: readers of old data would read it in too small
	// pieces. Default 32 KiB.
	ShortRun int64
	// MinFiles is how many such files are waited for, so that one rewrite
	// brings much of each partition together; MaxFiles bounds what one rewrite
	// takes. Defaults 4 and 8.
	MinFiles, MaxFiles int
	// MaxDebt is the bytes of files worth rewriting at which Health.Debt is 1.
	// Default 1 GiB.
	MaxDebt int64
	// OwnFile is the bytes from which a partition's part of a rewrite gets a
	// file of its own. Default 8 MiB.
	OwnFile int64
	// CompactChunk is the bytes of records that compaction replaces at a time,
	// and so, about, what it needs on the disk. Default 256 MiB.
	CompactChunk int64
}

func (r *Rewriting) defaults() {
	set := func(v *int64, def int64) {
		if *v == 0 {
			*v = def
		}
	}
	set(&r.ShortRun, 32<<10)
	set(&r.MaxDebt, 1<<30)
	set(&r.OwnFile, 8<<20)
	set(&r.CompactChunk, 256<<20)
	if r.MinFiles == 0 {
		r.MinFiles = 4
	}
	if r.MaxFiles == 0 {
		r.MaxFiles = 8
	}
}

// candidate is a file as the plan sees it. Sizes are in bytes.
type candidate struct {
	level   uint8
	size    int64 // on disk
	live    int64 // of bodies still wanted, but for those of settled records
	settled int64
	runs    int64
	ready   bool // it may be rewritten now
}

// dead reports whether most of the file is wanted by nobody.
func (c *candidate) dead() bool { return 2*c.wanted() < c.size }

// wanted returns how many bytes a rewrite writes, about.
func (c *candidate) wanted() int64 { return max(c.live-c.settled, 0) }

// short reports whether the file's runs are too short to be read well. A level
// 1 file holds the runs of a partition together, however short they are.
func (c *candidate) short(r *Rewriting) bool {
	return c.level == 0 && c.runs > 0 && c.live/c.runs < r.ShortRun
}

// plan chooses what the next rewrite takes, oldest first: nothing, or up to
// MaxFiles of the files worth rewriting. Files with nothing wanted in them
// need no rewrite.
func (r *Rewriting) plan(files []candidate) (chosen []int) {
	short, dead := 0, 0
	var size int64
	for i := range files {
		f := &files[i]
		isDead, isShort := f.dead(), f.short(r)
		if f.live <= 0 || !f.ready || !isDead && !isShort {
			continue
		}
		if isDead {
			dead++
		} else {
			short++
		}
		if len(chosen) < r.MaxFiles && (len(chosen) == 0 || size+f.wanted() <= rewriteBytes) {
			size += f.wanted()
			chosen = append(chosen, i)
		}
	}
	if dead == 0 && short < r.MinFiles {
		return nil
	}
	return slices.Clip(chosen)
}

// debt returns the bytes of files worth rewriting beyond those that the plan
// waits for, as a share of what is allowed.
func (r *Rewriting) debt(files []candidate) float64 {
	var short, dead int64
	waiting := 0
	for i := range files {
		f := &files[i]
		switch {
		case f.live <= 0:
		case f.dead():
			dead += f.size
		case f.short(r):
			if waiting++; waiting >= r.MinFiles {
				short += f.size
			}
		}
	}
	return float64(short+dead) / float64(r.MaxDebt)
}
