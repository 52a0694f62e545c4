package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/script"
	"github.com/polylog-mq/polylog/internal/store/wal"
)

// rest is a data directory at rest, with every kind of file in it, and what
// must be in there.
type rest struct {
	t       testing.TB
	o       Options
	x       *simple
	entries []restEntry
	partial record.Index // up to where the log is compacted at the next cut
	// moments are copies of the directory as it was earlier.
	moments []*crashfs.FS
}

// restEntry is an entry and what apply makes of it.
type restEntry struct {
	data []byte
	runs []Run
}

// page is the page of the state at an index.
func (restEntry) page(i record.Index) []byte { return fmt.Appendf(nil, "state at %d", i) }

func newRest(t testing.TB) *rest {
	r := &rest{t: t, o: Options{
		FS: crashfs.New(), Dir: "data", WALFileSize: 32 << 10, TailBytes: 1,
		Rewriting: Rewriting{MinFiles: 2, MaxFiles: 2, OwnFile: 20_000},
	}}
	r.open()
	if err := r.x.s.Bootstrap(Meta{Cluster: uuid.UUID{1}, Node: 1}, []GroupCut{{Pages: []Page{{[]byte("state"), restEntry{}.page(0)}}}}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rest) open() {
	next := map[record.PartitionID]record.Offset{}
	if r.x != nil {
		next = r.x.next
	}
	last := record.Index(len(r.entries))
	r.x = openSimple(r.t, r.o)
	r.x.last, r.x.next = last, next
	replay(r.x.s, r.entries)
}

// replay does what apply does after a start: the runs of all entries above the
// checkpoint.
func replay(s *Store, entries []restEntry) {
	applied, _, _, _ := s.Applied(0)
	for i := applied; i < record.Index(len(entries)) && i < s.Log(0).LastIndex(); i++ {
		s.AddRuns(0, i+1, slices.Clone(entries[i].runs))
	}
}

func (r *rest) put(n, size int, partitions ...record.PartitionID) {
	e := restEntry{data: testBatch(r.t, n, size, 1)}
	for _, p := range partitions {
		e.runs = append(e.runs, Run{
			Partition: p, Base: r.x.next[p], Last: r.x.next[p] + record.Offset(n) - 1, Epoch: 5,
			LogTime: 1, MaxTimestamp: int64(n), Len: uint32(len(e.data)),
		})
	}
	r.x.put(n, size, 1, partitions...)
	r.entries = append(r.entries, e)
}

func (r *rest) checkpoint(compactTo record.Index) {
	r.t.Helper()
	err := r.x.s.Checkpoint([]GroupCut{{
		Applied: r.x.last, Term: 1, CompactTo: compactTo,
		Pages: []Page{{[]byte("state"), restEntry{}.page(r.x.last)}, {fmt.Appendf(nil, "page %d", r.x.last), make([]byte, 3000)}},
	}})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rest) rewrite() {
	r.t.Helper()
	for did := true; did; {
		var err error
		if did, err = r.x.s.Rewrite(1 << 20); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rest) fs() *crashfs.FS { return r.o.FS.(*crashfs.FS) }

// remember keeps a copy of the present moment.
func (r *rest) remember() { r.moments = append(r.moments, r.fs().Kill()) }

func (r *rest) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// fill writes a directory with level 1 files, WAL files that are segments, WAL
// files that recovery reads, and a log above the checkpoint.
func (r *rest) fill() {
	some := func(n int) {
		for range n {
			r.put(2, 1000, 1)
			r.put(3, 200, 1, 2)
		}
		r.put(1, 9000, 3)
	}
	some(10)
	r.checkpoint(r.x.last)
	some(10)
	r.remember()
	r.checkpoint(r.x.last)
	r.rewrite()
	r.checkpoint(r.x.last)
	writeFile(r.t, r.fs(), "data/BALLAST", "as if there were room")
	r.remember()
	r.must(r.x.s.Close())
	r.open()
	some(12)
	r.checkpoint(r.x.last)
	r.remember()
	compacted := r.x.last
	some(12)
	r.checkpoint(compacted)
	r.remember()
	some(3)
	r.checkpoint(compacted)
	some(3)
	r.remember()
	for range 3 {
		r.put(2, 300, 1)
	}
	for r.x.s.Fill() {
	}
}

// kindOf tells the kinds of files apart.
func kindOf(s *Store, path string, from wal.FileNum) string {
	name := path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case strings.HasPrefix(path, "data/checkpoint/"):
		for _, k := range [...]string{"marker.manifest", "marker.format", "MANIFEST", "OPTIONS", "LOCK"} {
			if strings.HasPrefix(name, k) {
				return "checkpoint: " + k
			}
		}
		return "checkpoint: *" + name[strings.LastIndexByte(name, '.'):]
	case strings.HasPrefix(name, "spare-"):
		return "WAL file, spare"
	case strings.HasSuffix(name, ".wal"):
		switch n := walNumber(path); {
		case n == s.lane.Active():
			return "WAL file, newest"
		case n >= from:
			return "WAL file, read at the start"
		}
		return "WAL file, kept as a segment"
	case strings.HasSuffix(name, ".seg"):
		return "segment"
	case strings.HasSuffix(name, ".idx"):
		return "run index"
	}
	return name
}

func walNumber(path string) (n wal.FileNum) {
	_, _ = fmt.Sscanf(path[strings.LastIndexByte(path, '/')+1:], "%d.wal", &n)
	return n
}

// files lists a directory tree, sorted.
func files(fs *crashfs.FS, dir string) (all []string) {
	names, _ := fs.List(dir)
	slices.Sort(names)
	for _, name := range names {
		path := dir + "/" + name
		if st, err := fs.Stat(path); err == nil && st.IsDir() {
			all = append(all, files(fs, path)...)
		} else {
			all = append(all, path)
		}
	}
	return all
}

// The verdicts.
const (
	vFine    = "fine"
	vRefused = "refused"
	vRead    = "reads refused"
	vEarlier = "as an earlier kill"
)

// verdict opens a damaged directory and holds what is there against what must
// be. Anything but a verdict is a failure of the store.
func (r *rest) verdict(fs *crashfs.FS, path string) (string, error) {
	before := fs.Kill()
	o := r.o
	o.FS = fs
	s, err := Open(o)
	if err != nil {
		return r.refusal(before, fs, err, path)
	}
	defer s.Close()
	if m, ok := s.Meta(); !ok || m.Node != 1 {
		// A node would begin anew here, were it let.
		err := s.Bootstrap(Meta{Cluster: uuid.UUID{2}, Node: 1}, nil)
		if !errors.Is(err, ErrDamaged) {
			return "", fmt.Errorf("it has forgotten who it is, and begins again: %w", err)
		}
		return vRefused, nil
	}
	applied, _, _, _ := s.Applied(0)
	state := ""
	if err := s.LoadPages(0, func(k, v []byte) error {
		if string(k) == "state" {
			state = string(v)
		}
		return nil
	}); err != nil {
		return r.refusal(fs, fs, err, path)
	}
	if want := string(restEntry{}.page(applied)); state != want {
		return "", fmt.Errorf("applied up to %d, but the state is %q", applied, state)
	}
	if last := s.Log(0).LastIndex(); last != record.Index(len(r.entries)) {
		return "", fmt.Errorf("the log ends at %d of %d: %w", last, len(r.entries), errShort)
	}
	replay(s, r.entries)
	return r.readAll(s, path)
}

var errShort = errors.New("acknowledged entries are missing")

// refusal checks that an error says where and what now, and that nothing was
// changed.
func (r *rest) refusal(before, after *crashfs.FS, err error, path string) (string, error) {
	where, hint := "", ""
	var d *DamageError
	var c *wal.CorruptionError
	var n *NewerFormatError
	switch {
	case errors.As(err, &d):
		where, hint = d.Path, d.Hint
	case errors.As(err, &c):
		where, hint = c.Path, c.Hint
	case errors.As(err, &n):
		where, hint = n.Path, "told by the server"
	default:
		return "", fmt.Errorf("refused, without saying what is damaged: %w", err)
	}
	// A log that ends early is told by where it ends, or by who counts on more.
	if !strings.HasPrefix(path, where) && !strings.HasPrefix(where, path) && !strings.HasPrefix(where, "data/wal") && !strings.HasPrefix(where, "data/segment") || hint == "" {
		return "", fmt.Errorf("refused for %q, with the hint %q: %w", where, hint, err)
	}
	for _, f := range files(before, "data") {
		if strings.HasPrefix(f, "data/checkpoint/") || strings.HasSuffix(f, "/LOCK") || strings.HasSuffix(f, "/BALLAST") {
			continue // Pebble reads its log into a table
		}
		if _, serr := after.Stat(f); serr != nil || !bytes.Equal(readFile(r.t, before, f), readFile(r.t, after, f)) {
			return "", fmt.Errorf("refused (%w), but %s was changed", err, f)
		}
	}
	return vRefused, nil
}

// readAll reads every entry and every record.
func (r *rest) readAll(s *Store, path string) (string, error) {
	verdict := vFine
	named := func(err error) bool {
		var d *DamageError
		if !errors.As(err, &d) || d.Path != path || d.Hint == "" {
			return false
		}
		verdict = vRead
		return true
	}
	l := s.Log(0)
	for i := l.FirstIndex(); i <= l.LastIndex(); i++ {
		es, err := l.Entries(i, i+1, 1<<20)
		if err != nil && !named(err) {
			return "", fmt.Errorf("entry %d: %w", i, err)
		}
		if err == nil && !bytes.Equal(es[0].Data, r.entries[i-1].data) {
			return "", fmt.Errorf("entry %d is not what was appended", i)
		}
	}
	for _, e := range r.entries {
		for _, run := range e.runs {
			var res Result
			err := s.Read(&res, run.Partition, run.Base, run.Last+1, 1, true)
			if err != nil && !named(err) {
				return "", fmt.Errorf("partition %d offset %d: %w", run.Partition, run.Base, err)
			}
			if err == nil {
				err = sameRecords(&res, e.data, run.Base)
			}
			if res.Release(); err != nil && verdict != vRead {
				return "", fmt.Errorf("partition %d offset %d: %w", run.Partition, run.Base, err)
			}
		}
	}
	return verdict, nil
}

// sameRecords holds the first batch of a read against the bytes appended.
func sameRecords(res *Result, want []byte, base record.Offset) (err error) {
	err = errors.New("nothing was returned")
	res.Batches(func(_ *Run, b []byte) bool {
		h, berr := record.Validate(b, record.Checks{})
		switch {
		case berr != nil:
			err = berr
		case h.BaseOffset != base || !bytes.Equal(b[21:], want[21:]): // behind offset, epoch and checksum
			err = fmt.Errorf("the batch at %d is not what was appended", h.BaseOffset)
		default:
			err = nil
		}
		return false
	})
	return err
}

const olderCopy = "an older copy"

// harm is one way to damage a file.
type harm struct {
	name string
	do   func(fs *crashfs.FS, path string)
}

func (r *rest) harms(fs *crashfs.FS, path string, rng *rand.Rand) (all []harm) {
	size := len(readFile(r.t, fs, path))
	for i := range 10 {
		at := rng.IntN(max(size, 1))
		if i < 5 { // headers, where there are any
			at = min(i*13, max(size-1, 0))
		}
		if size > 0 {
			all = append(all, harm{"flip a bit", func(fs *crashfs.FS, path string) {
				fs.Damage(path, func(b []byte) []byte { b[at] ^= 1 << (i % 8); return b })
			}})
		}
	}
	for _, n := range []int{0, size / 3, size - 1} {
		if n < size && n >= 0 {
			all = append(all, harm{"cut short", func(fs *crashfs.FS, path string) {
				fs.Damage(path, func(b []byte) []byte { return b[:n] })
			}})
		}
	}
	all = append(all, harm{"remove", func(fs *crashfs.FS, path string) { r.must(fs.Remove(path)) }})
	for _, m := range r.moments {
		if _, err := m.Stat(path); err != nil {
			continue
		}
		old := readFile(r.t, m, path)
		if !bytes.Equal(old, readFile(r.t, fs, path)) {
			all = append(all, harm{olderCopy, func(fs *crashfs.FS, path string) {
				fs.Damage(path, func([]byte) []byte { return slices.Clone(old) })
			}})
		}
	}
	return all
}

// folders are harms of whole folders.
func (r *rest) folders() map[string][]harm {
	all := map[string][]harm{}
	for _, dir := range []string{"data/wal", "data/checkpoint", "data/segment"} {
		all[dir] = append(all[dir], harm{"remove", func(fs *crashfs.FS, path string) { r.must(fs.RemoveAll(path)) }})
		for _, m := range r.moments {
			all[dir] = append(all[dir], harm{olderCopy, func(fs *crashfs.FS, path string) {
				r.must(fs.RemoveAll(path))
				r.must(fs.MkdirAll(path, 0o755))
				for _, f := range files(m, path) {
					writeFile(r.t, fs, f, string(readFile(r.t, m, f)))
				}
			}})
		}
	}
	return all
}

// kinds tells what the files of a directory are.
func (r *rest) kinds() map[string]string {
	st, err := r.x.s.db.Load()
	r.must(err)
	kinds := map[string]string{"data/wal": "wal/", "data/segment": "segment/", "data/checkpoint": "checkpoint/"}
	for _, path := range files(r.fs(), "data") {
		kinds[path] = kindOf(r.x.s, path, wal.FileNum(st.WALFrom))
	}
	return kinds
}

// TestDamageAtRest damages every kind of file in a directory in every way, after
// a clean stop and after a kill: what was acknowledged is there, or an error says
// where it was. The table of what happens is in docs/guide/damage.md.
func TestDamageAtRest(t *testing.T) {
	verdicts := map[[2]string]map[string]int{} // kind and harm → verdict → how often
	cases := 0
	for _, killed := range []bool{false, true} {
		r := newRest(t)
		r.fill()
		kinds := r.kinds()
		master := r.fs().Kill()
		r.must(r.x.s.Close())
		if !killed {
			master = r.fs()
		}
		if v, err := r.verdict(master.Kill(), ""); v != vFine {
			t.Fatalf("undamaged: %s %v", v, err)
		}
		todo := r.folders()
		rng := rand.New(rand.NewPCG(1, 2))
		tried := map[string]int{}
		for _, path := range files(master, "data") {
			if tried[kinds[path]]++; tried[kinds[path]] <= 2 {
				todo[path] = r.harms(master, path, rng)
			}
		}
		for _, path := range slices.Sorted(maps.Keys(todo)) {
			for i, h := range todo[path] {
				if testing.Short() && i%4 > 0 {
					continue
				}
				cases++
				fs := master.Kill()
				h.do(fs, path)
				v, err := r.verdict(fs, path)
				log := kinds[path] == "WAL file, newest" || kinds[path] == "wal/"
				if killed && log && h.name == olderCopy && errors.Is(err, errShort) {
					v, err = vEarlier, nil // it is just what that kill would have left
				}
				if err != nil {
					t.Errorf("killed %t, %s (%s), %s, case %d: %v", killed, path, kinds[path], h.name, i, err)
					continue
				}
				key := [2]string{kinds[path], h.name}
				if verdicts[key] == nil {
					verdicts[key] = map[string]int{}
				}
				verdicts[key][v]++
			}
		}
	}
	t.Logf("%d cases", cases)
	if testing.Short() {
		return
	}
	script.Section(t, "../../docs/guide/damage.md", "table", damageTable(verdicts))
}

// damageTable has a row per kind of file and a column per harm.
func damageTable(verdicts map[[2]string]map[string]int) string {
	columns := []string{"flip a bit", "cut short", "remove", olderCopy}
	kinds := map[string]bool{}
	for k := range verdicts {
		kinds[k[0]] = true
	}
	out := "| | " + strings.Join(columns, " | ") + " |\n|---|" + strings.Repeat("---|", len(columns)) + "\n"
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		out += "| " + kind
		for _, h := range columns {
			out += " | " + strings.Join(slices.Sorted(maps.Keys(verdicts[[2]string{kind, h}])), ", ")
		}
		out += " |\n"
	}
	return out
}

// FuzzDamage writes whatever bytes anywhere into any file of a directory at
// rest: what was acknowledged is there, or an error says where it was.
func FuzzDamage(f *testing.F) {
	r := newRest(f)
	r.fill()
	r.must(r.x.s.Close())
	var paths []string
	for _, path := range files(r.fs(), "data") {
		if kind := kindOf(r.x.s, path, 1); kind != "BALLAST" && !strings.Contains(kind, "LOCK") {
			paths = append(paths, path)
		}
	}
	for i := range paths {
		f.Add(uint16(i), uint32(70), []byte{1, 2, 3})
	}
	f.Fuzz(func(t *testing.T, file uint16, at uint32, b []byte) {
		path := paths[int(file)%len(paths)]
		fs := r.fs().Kill()
		fs.Damage(path, func(data []byte) []byte {
			if len(data) > 0 {
				copy(data[int(at)%len(data):], b)
			}
			return data
		})
		x := *r
		x.t = t
		if _, err := x.verdict(fs, path); err != nil {
			t.Errorf("%s, %d bytes at %d: %v", path, len(b), at, err)
		}
	})
}
