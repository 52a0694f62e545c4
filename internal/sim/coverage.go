package sim

import (
	"fmt"
	"strings"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store"
)

// Coverage counts what a run has met: a clean run that met nothing shows
// nothing.
type Coverage struct {
	Acked, Unknown, Refused, Read int // records
	Resent                        int // batches
	Commits, Rebalances           int
	Changes                       int // of topics
	TxnsCommitted, TxnsAborted    int
	Zombies, Fenced               int // incarnations of transactional producers
	LeftOut                       int // records of aborted transactions, by readers of committed data
	Nonsense                      int // commands of careless clients
	Faults, Crashes               int
	Elections                     int // terms that were led or tried
	Snapshots                     int // whose pages were sent to the last
	Checkpoints, Rewrites, Freed  int
	Aged                          int // records removed for their age
	Replacements                  int // of members
	Messages, Lost                int

	terms map[record.ShardID]record.Term
}

func (c *Coverage) sawTerm(g record.ShardID, t record.Term) {
	if c.terms == nil {
		c.terms = map[record.ShardID]record.Term{}
	}
	if t > c.terms[g] {
		c.terms[g] = t
		c.Elections++
	}
}

// collect takes the counters of a store whose process ends.
func (c *Coverage) collect(s *store.Stats) {
	c.Checkpoints += int(s.Checkpoints.Load())
	c.Rewrites += int(s.Rewrites.Load())
	c.Freed += int(s.FilesFreed.Load())
}

// fields lists the counters by name.
func (c *Coverage) fields() []struct {
	name string
	n    *int
} {
	return []struct {
		name string
		n    *int
	}{
		{"acked", &c.Acked}, {"unknown", &c.Unknown}, {"refused", &c.Refused}, {"read", &c.Read}, {"resent", &c.Resent},
		{"commits", &c.Commits}, {"rebalances", &c.Rebalances}, {"topic changes", &c.Changes},
		{"transactions committed", &c.TxnsCommitted}, {"aborted", &c.TxnsAborted}, {"zombies", &c.Zombies}, {"fenced", &c.Fenced},
		{"records left out", &c.LeftOut}, {"nonsense", &c.Nonsense},
		{"faults", &c.Faults}, {"crashes", &c.Crashes}, {"elections", &c.Elections}, {"snapshots", &c.Snapshots},
		{"checkpoints", &c.Checkpoints}, {"rewrites", &c.Rewrites}, {"files freed", &c.Freed},
		{"aged out", &c.Aged}, {"replacements", &c.Replacements}, {"messages", &c.Messages}, {"messages lost", &c.Lost},
	}
}

// Add adds another run's counts.
func (c *Coverage) Add(o Coverage) {
	theirs := o.fields()
	for i, f := range c.fields() {
		*f.n += *theirs[i].n
	}
}

// String lists the counters.
func (c Coverage) String() string {
	var b strings.Builder
	for _, f := range c.fields() {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d %s", *f.n, f.name)
	}
	return b.String()
}

// Floors of a run of full length and of a campaign, below which they do not
// count.
const (
	minAckedPerMinute = 20
)

// Short says what a run has met too little of, "" if it counts. Runs without
// faults are exempt from meeting any.
func (c Coverage) Short(o Options) string {
	switch {
	case c.Acked < int(o.Safety.Minutes()*minAckedPerMinute):
		return fmt.Sprintf("only %d records were acknowledged", c.Acked)
	case !o.Mute && c.Faults < int(o.Safety.Minutes()):
		return fmt.Sprintf("only %d faults happened", c.Faults)
	case o.Nodes > 1 && c.Elections < 2:
		return "nobody was elected"
	}
	return ""
}

// Thin says what a campaign of at least 20 runs has never met, "" if it counts.
func (c Coverage) Thin(nodes int) string {
	for _, f := range c.fields() {
		if *f.n == 0 && (nodes > 1 || f.n != &c.Snapshots && f.n != &c.Replacements && f.n != &c.Messages && f.n != &c.Lost) {
			return "no " + f.name
		}
	}
	return ""
}
