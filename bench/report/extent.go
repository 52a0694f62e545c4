package report

import (
	"fmt"
	"time"
)

// Extent is how much of a comparison is run.
type Extent struct {
	Rounds           int
	Duration, Warmup time.Duration // of a load: counted, and before that
	Budget           time.Duration // for the whole run; 0: as long as it takes
	Only             string        // the lines whose name it matches; "": all
}

// String is what the page of results says of it.
func (e Extent) String() string {
	s := fmt.Sprintf("loads of %v after %v, up to %d rounds", e.Duration, e.Warmup, e.Rounds)
	if e.Budget > 0 {
		s += fmt.Sprintf(", within %v", e.Budget)
	}
	if e.Only != "" {
		s += ", only " + e.Only
	}
	return s
}
