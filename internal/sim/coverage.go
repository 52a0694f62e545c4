package sim

import (
	"fmt"
	"strings"

	"github.com/polylog-mq/polylog/internal/record"
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
	Snapshots, Installs           int // whose pages were sent to the last; that were installed
	Checkpoints, Rewrites, Freed  int
	Aged                          int // records removed for their age
	Compacted                     int // offsets that readers found compacted away
	Settled                       int // bytes of settled messages that rewrites left behind
	Replacements                  int // of members
	Growths                       int // from one node to three and back
	Delivered, Lent, Cancelled    int // messages of queues
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

// collect takes the counters of a process that ends.
func (c *Coverage) collect(p *process) {
	s := p.store.Stats()
	c.Checkpoints += int(s.Checkpoints.Load())
	c.Rewrites += int(s.Rewrites.Load())
	c.Settled += int(s.Settled.Load())
	c.Freed += int(s.FilesFreed.Load())
	c.Installs += int(p.host.Installed())
}

// counter is one of the numbers, and how many a campaign has to have met in a run,
// on average: in one of 1 and in one of 3 nodes.
type counter struct {
	name       string
	n          *int
	one, three float64
}

// counters lists the numbers by name.
func (c *Coverage) counters() []counter {
	return []counter{
		{"acked", &c.Acked, 500, 500}, {"unknown", &c.Unknown, 2, 2}, {"refused", &c.Refused, 1, 1}, {"read", &c.Read, 1000, 1000},
		{"resent", &c.Resent, 10, 10}, {"commits", &c.Commits, 50, 50}, {"rebalances", &c.Rebalances, 2, 2},
		{"topic changes", &c.Changes, 2, 2}, {"transactions committed", &c.TxnsCommitted, 10, 10},
		{"aborted", &c.TxnsAborted, 5, 5}, {"zombies", &c.Zombies, 1, 1}, {"fenced", &c.Fenced, 1, 1},
		{"records left out", &c.LeftOut, 50, 50}, {"nonsense", &c.Nonsense, 10, 10}, {"faults", &c.Faults, 4, 6},
		{"crashes", &c.Crashes, 2, 6}, {"elections", &c.Elections, 4, 8}, {"snapshots", &c.Snapshots, 0, 1},
		{"installs", &c.Installs, 0, 1}, {"checkpoints", &c.Checkpoints, 4, 10}, {"rewrites", &c.Rewrites, 1, 2},
		{"files freed", &c.Freed, 1, 2}, {"aged out", &c.Aged, 20, 20}, {"compacted away", &c.Compacted, 500, 500}, {"settled bytes", &c.Settled, 100, 100}, {"replacements", &c.Replacements, 0, 0.2},
		{"growths", &c.Growths, 0.1, 0},
		{"delivered", &c.Delivered, 50, 50}, {"lent", &c.Lent, 5, 5}, {"cancelled", &c.Cancelled, 0.1, 0.1},
		{"messages", &c.Messages, 0, 5000}, {"messages lost", &c.Lost, 0, 100},
	}
}

// Add adds another run's counts.
func (c *Coverage) Add(o Coverage) {
	theirs := o.counters()
	for i, f := range c.counters() {
		*f.n += *theirs[i].n
	}
}

// String lists the counters.
func (c Coverage) String() string {
	var b strings.Builder
	for _, f := range c.counters() {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d %s", *f.n, f.name)
	}
	return b.String()
}

// minAckedPerMinute is the floor of a run: one that did less does not count.
const minAckedPerMinute = 20

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

// Thin says what so many runs have met too little of, "" if they count.
func (c Coverage) Thin(nodes, runs int) string {
	for _, f := range c.counters() {
		least := f.one
		if nodes > 1 {
			least = f.three
		}
		if float64(*f.n) < least*float64(runs) {
			return fmt.Sprintf("%d %s in %d runs", *f.n, f.name, runs)
		}
	}
	return ""
}
