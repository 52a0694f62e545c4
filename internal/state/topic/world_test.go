package topic

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/script"
)

// world is a catalog with its shards, as the scripts drive it. Every command
// goes through its logged form.
type world struct {
	t       *testing.T
	now     record.LogTime
	term    record.Term
	catalog *Catalog
	shards  map[record.ShardID]*Partitions
	// sent keeps Define commands that a script delivers late.
	sent map[string]*Define
	// logged is the last command in its logged form.
	logged []byte
}

func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func(t *testing.T) func(*script.Command) string {
		w := &world{
			t: t, now: 1_000_000, term: 1, catalog: NewCatalog(),
			shards: map[record.ShardID]*Partitions{}, sent: map[string]*Define{},
		}
		return w.run
	})
}

var verbs = map[string]func(w *world, c *script.Command) string{
	"now":        (*world).setNow,
	"term":       (*world).setTerm,
	"bootstrap":  (*world).bootstrap,
	"create":     (*world).create,
	"delete":     (*world).delete,
	"alter":      (*world).alter,
	"grow":       (*world).grow,
	"producers":  (*world).producers,
	"topics":     (*world).topics,
	"collides":   (*world).collides,
	"slots":      (*world).slots,
	"pending":    (*world).pending,
	"deliver":    (*world).deliver,
	"confirm":    (*world).confirm,
	"settle":     (*world).settle,
	"settled":    (*world).settled,
	"append":     (*world).append,
	"tick":       (*world).tick,
	"enlist":     (*world).enlist,
	"write":      (*world).write,
	"end":        (*world).end,
	"aborted":    (*world).abortedIn,
	"trim":       (*world).trim,
	"show":       (*world).show,
	"checkpoint": (*world).checkpoint,
	"logged":     func(w *world, _ *script.Command) string { return fmt.Sprintf("%x", w.logged) },
	"pages":      (*world).pages,
}

func (w *world) run(c *script.Command) string {
	f := verbs[c.Name]
	if f == nil {
		return "unknown command " + c.Name
	}
	out := f(w, c)
	checkCatalogPages(w.t, w.catalog)
	for _, id := range slices.Sorted(maps.Keys(w.shards)) {
		checkShardPages(w.t, w.shards[id])
	}
	return out
}

func (w *world) apply(cmd CatalogCommand) (Result, string) {
	w.logged = cmd.AppendTo(nil)
	decoded, err := DecodeCatalogCommand(w.logged)
	if err != nil {
		w.t.Fatalf("%T does not survive its logged form: %v", cmd, err)
	}
	check := w.catalog.Check(decoded)
	res, err := w.catalog.Apply(w.now, decoded)
	if !errors.Is(err, check) && (err == nil || check == nil || err.Error() != check.Error()) {
		w.t.Errorf("Check says %v, Apply %v", check, err)
	}
	if err != nil {
		return res, "error: " + err.Error()
	}
	if res.Topic == nil {
		return res, ""
	}
	return res, topicLine(res.Topic)
}

func topicLine(t *Topic) string {
	var b strings.Builder
	fmt.Fprintf(&b, "topic %d %s rev=%d", t.ID, strings.TrimPrefix(t.Tenant+"/"+t.Name, "/"), t.Revision)
	if t.Deleted {
		b.WriteString(" deleted")
	}
	for _, c := range t.Config {
		fmt.Fprintf(&b, " %s=%q", c.Name, c.Value)
	}
	b.WriteString(" partitions")
	for _, p := range t.Partitions {
		fmt.Fprintf(&b, " %d@%d", p.ID, p.Shard)
	}
	return b.String()
}

func (w *world) setNow(c *script.Command) string {
	w.now = record.LogTime(c.Int("at", int64(w.now))) + record.LogTime(c.Int("plus", 0))
	return fmt.Sprint(w.now)
}

func (w *world) setTerm(c *script.Command) string {
	w.term = record.Term(c.Int("to", int64(w.term)+1))
	return fmt.Sprint(w.term)
}

func (w *world) bootstrap(c *script.Command) string {
	cmd := &Bootstrap{}
	for i := range c.Int("shards", 2) {
		id := record.ShardID(i + 1)
		cmd.Shards = append(cmd.Shards, id)
		w.shards[id] = NewPartitions()
	}
	_, out := w.apply(cmd)
	return out
}

// uuid makes a topic's uuid from its name and a number that tells its lives
// apart.
func uuid(name string, life int64) (u UUID) {
	copy(u[:], name)
	u[15] = byte(life)
	return u
}

func config(c *script.Command) (list []Config) {
	for _, k := range slices.Sorted(maps.Keys(c.Named)) {
		if strings.Contains(k, ".") || k == "preallocate" {
			list = append(list, Config{k, c.Named[k]})
		}
	}
	return list
}

func (w *world) create(c *script.Command) string {
	_, out := w.apply(&CreateTopic{
		UUID: uuid(c.Args[0], c.Int("life", 1)), Tenant: c.Str("tenant", ""), Name: c.Str("name", c.Args[0]),
		Partitions: int32(c.Int("partitions", 1)), Config: config(c),
	})
	return out
}

func (w *world) uuidOf(c *script.Command) UUID {
	if t := w.catalog.Lookup(c.Str("tenant", ""), c.Args[0]); t != nil {
		return t.UUID
	}
	return uuid(c.Args[0], 99)
}

func (w *world) delete(c *script.Command) string {
	_, out := w.apply(&DeleteTopic{UUID: w.uuidOf(c)})
	return out
}

// alter takes its changes as lines: set name value, delete name, ...
func (w *world) alter(c *script.Command) string {
	cmd := &AlterConfigs{UUID: w.uuidOf(c), Replace: c.Str("replace", "") == "true"}
	ops := map[string]ConfigOp{"set": ConfigSet, "delete": ConfigDelete, "append": ConfigAppend, "subtract": ConfigSubtract, "bad": 9}
	for _, line := range c.Body {
		f := append(strings.SplitN(strings.TrimSpace(line), " ", 3), "", "")
		cmd.Changes = append(cmd.Changes, ConfigChange{ops[f[0]], f[1], f[2]})
	}
	_, out := w.apply(cmd)
	return out
}

func (w *world) grow(c *script.Command) string {
	_, out := w.apply(&CreatePartitions{UUID: w.uuidOf(c), Count: int32(c.Int("to", 0))})
	return out
}

func (w *world) producers(c *script.Command) string {
	res, out := w.apply(&AllocateProducerIDs{Count: c.Int("count", 1000)})
	return cmp.Or(out, fmt.Sprintf("from %d", res.FirstProducerID))
}

func (w *world) topics(*script.Command) string {
	var lines []string
	for _, t := range w.catalog.Topics() {
		lines = append(lines, topicLine(t))
		if w.catalog.ByUUID(t.UUID) != t || w.catalog.ByID(t.ID) != t || w.catalog.Lookup(t.Tenant, t.Name) != t {
			w.t.Errorf("the indexes disagree about %s", t.Name)
		}
	}
	return strings.Join(lines, "\n")
}

func (w *world) collides(c *script.Command) string {
	if t := w.catalog.Collides(c.Str("tenant", ""), c.Args[0]); t != nil {
		return "with " + t.Name
	}
	return "no"
}

func (w *world) slots(*script.Command) string {
	n := map[record.ShardID]int{}
	for s := range Slot(Slots) {
		n[w.catalog.SlotShard(s)]++
	}
	return fmt.Sprint(n)
}

func shardOf(c *script.Command) record.ShardID { return record.ShardID(c.Int("shard", 1)) }

func (w *world) pending(c *script.Command) string {
	cmd, ok := w.catalog.Pending(shardOf(c))
	if !ok {
		return "nothing"
	}
	if as := c.Str("as", ""); as != "" {
		w.sent[as] = cmd
	}
	return defineLines(cmd)
}

func defineLines(cmd *Define) string {
	var b strings.Builder
	fmt.Fprintf(&b, "after %d to %d\n", cmd.After, cmd.Revision)
	for _, d := range cmd.Topics {
		fmt.Fprintf(&b, "topic %d rev=%d", d.Topic, d.Revision)
		if d.Dropped {
			b.WriteString(" dropped")
		} else {
			fmt.Fprintf(&b, " retention.ms=%d", d.Settings.RetentionMs)
		}
		fmt.Fprintf(&b, " %v\n", d.Partitions)
	}
	return b.String()
}

// deliver gives a shard what it is owed, or a Define that was kept by pending.
func (w *world) deliver(c *script.Command) string {
	s := shardOf(c)
	cmd := w.sent[c.Str("sent", "")]
	if cmd == nil {
		var ok bool
		if cmd, ok = w.catalog.Pending(s); !ok {
			return "nothing"
		}
	}
	return w.applyShard(s, cmd)
}

func (w *world) applyShard(s record.ShardID, cmd ShardCommand) string {
	w.logged = cmd.AppendTo(nil)
	decoded, err := DecodeShardCommand(w.logged)
	if err != nil {
		w.t.Fatalf("%T does not survive its logged form: %v", cmd, err)
	}
	if !reflect.DeepEqual(cmd, decoded) {
		w.t.Errorf("%+v became %+v in its logged form", cmd, decoded)
	}
	var fx Effects
	if err := w.shards[s].Apply(w.now, w.term, decoded, &fx); err != nil {
		return "error: " + err.Error()
	}
	return effects(&fx)
}

func effects(fx *Effects) string {
	var b strings.Builder
	for _, p := range fx.Defined {
		fmt.Fprintf(&b, "defined %d\n", p.ID())
	}
	for _, p := range fx.Dropped {
		fmt.Fprintf(&b, "dropped %d\n", p)
	}
	for _, f := range fx.Floors {
		fmt.Fprintf(&b, "floor %d at %d\n", f.Partition, f.Offset)
	}
	for _, p := range fx.Compactions {
		c := p.Compaction()
		fmt.Fprintf(&b, "compact %d below %d overdue %d\n", p.ID(), c.Below, c.Overdue)
	}
	return b.String()
}

func (w *world) confirm(c *script.Command) string {
	s := shardOf(c)
	rev := Revision(c.Int("at", 0))
	if sh := w.shards[s]; rev == 0 && sh != nil {
		rev = sh.Revision()
	}
	res, out := w.apply(&Confirm{Shard: s, Revision: rev})
	for _, t := range res.Settled {
		out += fmt.Sprintf("settled %s rev=%d\n", t.Name, t.Revision)
	}
	return out
}

// settle delivers and confirms until nothing is pending.
func (w *world) settle(*script.Command) string {
	for _, s := range slices.Sorted(maps.Keys(w.shards)) {
		for {
			cmd, ok := w.catalog.Pending(s)
			if !ok {
				break
			}
			if out := w.applyShard(s, cmd); strings.HasPrefix(out, "error") {
				return out
			}
			if _, out := w.apply(&Confirm{Shard: s, Revision: w.shards[s].Revision()}); out != "" {
				return out
			}
		}
	}
	return ""
}

func (w *world) settled(c *script.Command) string {
	return fmt.Sprint(w.catalog.Settled(ID(c.Int("topic", 1))))
}

// partition finds the partition p=... wherever it lives.
func (w *world) partition(c *script.Command) (*Partitions, *Partition) {
	id := record.PartitionID(c.Int("p", 1))
	for _, s := range slices.Sorted(maps.Keys(w.shards)) {
		if p := w.shards[s].Lookup(id); p != nil {
			return w.shards[s], p
		}
	}
	return w.shards[1], nil
}

// append takes times=... batches of n=... records, every=... ms apart.
func (w *world) append(c *script.Command) string {
	s, p := w.partition(c)
	if p == nil {
		return "no such partition"
	}
	var v Verdict
	for i := range c.Int("times", 1) {
		if i > 0 {
			w.now += record.LogTime(c.Int("every", 0))
		}
		v = s.Append(w.now, w.term, p, Batch{
			Offsets: int32(c.Int("n", 1)), Size: int32(c.Int("size", 100)), MaxTimestamp: c.Int("ts", int64(w.now)),
		})
	}
	return fmt.Sprintf("base=%d epoch=%d id=%d-%d", v.Base, v.Epoch, v.FirstID.Time, v.FirstID.Seq)
}

// tick ticks shard=... at the deadlines up to now, or once with hold=true.
func (w *world) tick(c *script.Command) string {
	s := w.shards[shardOf(c)]
	var fx Effects
	if hold := c.Str("hold", "") == "true"; hold {
		s.Tick(w.now, true, &fx)
	}
	for range 100 {
		at, ok := s.NextDeadline()
		if !ok || at > w.now {
			break
		}
		s.Tick(w.now, false, &fx)
	}
	out := effects(&fx)
	if at, ok := s.NextDeadline(); ok {
		return out + fmt.Sprintf("next %d", at)
	}
	return out + "next never"
}

func (w *world) trim(c *script.Command) string {
	s, _ := w.partition(c)
	cmd := &DeleteRecords{Partition: record.PartitionID(c.Int("p", 1)), Before: record.Offset(c.Int("before", -1))}
	for id, sh := range w.shards {
		if sh == s {
			return w.applyShard(id, cmd)
		}
	}
	return "no shard"
}

func (w *world) show(c *script.Command) string {
	_, p := w.partition(c)
	if p == nil {
		return "no such partition"
	}
	out := fmt.Sprintf("[%d, %d) stable=%d bytes=%d last=%d-%d due=%d epochs=%v\n",
		p.LogStart(), p.HighWatermark(), p.LastStable(), p.Bytes(), p.LastID().Time, p.LastID().Seq, p.due, p.Epochs())
	for i, g := range append(slices.Clone(p.sealed), p.active) {
		kind := "sealed"
		if i == len(p.sealed) {
			kind = "active"
		}
		out += fmt.Sprintf("%s base=%d bytes=%d stamps=%d..%d\n", kind, g.base, g.bytes, g.first, g.stamp)
	}
	return out
}

// pages prints the pages of the catalog, or of shard=..., as they are stored.
func (w *world) pages(c *script.Command) string {
	d := dumpCatalog(w.catalog)
	if s := w.shards[record.ShardID(c.Int("shard", 0))]; s != nil {
		d = dumpShard(s)
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(d)) {
		v := d[k]
		if k == "s" { // the slots are long and all alike
			v = v[:min(len(v), 16)]
		}
		fmt.Fprintf(&b, "%q: %x\n", k, v)
	}
	return b.String()
}

// checkpoint goes on with what a restart would restore.
func (w *world) checkpoint(*script.Command) string {
	w.catalog = restoreCatalog(w.t, dumpCatalog(w.catalog))
	for id, s := range w.shards {
		w.shards[id] = restoreShard(w.t, dumpShard(s))
	}
	return ""
}
