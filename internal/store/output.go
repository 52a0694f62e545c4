package store

import (
	"slices"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/store/checkpoint"
	"github.com/polylog-mq/polylog/internal/store/segment"
)

// output is a level 1 file in the making: its bodies and its run index.
type output struct {
	s     *Store
	num   uint64
	data  *segment.DataWriter
	index *segment.IndexWriter
}

// finished is a level 1 file that is whole and synced, its name in the
// directory excepted.
type finished struct {
	file  *file
	spans []segment.Span
}

func (s *Store) newOutput() (*output, error) {
	o := &output{s: s, num: s.nextSegment.Add(1) - 1}
	var err error
	if o.data, err = segment.CreateData(s.o.FS, s.dataPath(o.num), o.num); err != nil {
		return nil, err
	}
	if o.index, err = segment.CreateIndex(s.o.FS, s.indexPath(o.id(), 1), 1, o.num); err != nil {
		o.data.Abort()
		_ = s.o.FS.Remove(s.dataPath(o.num))
		return nil, err
	}
	return o, nil
}

func (o *output) id() checkpoint.FileID { return checkpoint.FileID{Level: 1, Num: o.num} }

// finish syncs both files. On error they are removed.
func (o *output) finish() (*finished, error) {
	s := o.s
	size, crc, err := o.data.Finish()
	if err != nil {
		o.index.Abort()
		o.remove()
		return nil, err
	}
	done, err := o.index.Finish(size, crc)
	if err != nil {
		o.remove()
		return nil, err
	}
	x, spans, err := s.reader.Open(s.indexPath(o.id(), 1), done.Digest)
	if err != nil {
		o.remove()
		return nil, s.explain(err)
	}
	f := &file{level: 1, num: o.num, path: s.dataPath(o.num), index: x, info: checkpoint.File{
		FileID: o.id(), DataLen: size, DataCRC: crc, Gen: 1, Digest: done.Digest, Final: true,
	}}
	f.final.Store(x)
	f.runs.Store(int64(x.Runs))
	return &finished{f, spans}, nil
}

// abort closes and removes both files.
func (o *output) abort() {
	o.data.Abort()
	o.index.Abort()
	o.remove()
}

func (o *output) remove() {
	_ = o.s.o.FS.Remove(o.s.dataPath(o.num))
	_ = o.s.o.FS.Remove(o.s.indexPath(o.id(), 1))
}

// discard removes a finished file that nothing will refer to.
func (d *finished) discard(s *Store) {
	s.removeIndex(d.file.index)
	_ = s.o.FS.Remove(d.file.path)
}

// install hangs the spans of finished files into their partitions, in place
// of those that the given levels have in the files old. s.cutting is held: a
// checkpoint says either all of it or nothing.
func (s *Store) install(done []*finished, replaced []chainKey, old map[*file]bool) {
	added := map[chainKey][]span{}
	for _, k := range replaced {
		added[k] = nil // even if nothing of it is wanted any more
	}
	for _, d := range done {
		s.files.add(d.file)
		for i := range d.spans {
			in := &d.spans[i]
			k := chainKey{s.partitions.make(in.Partition), in.Level}
			added[k] = append(added[k], newSpan(d.file, in))
		}
	}
	for k, spans := range added {
		k.p.replace(k.level, spans, old)
	}
}

// replace swaps the spans that lie in the files old for others.
func (p *partition) replace(level uint8, spans []span, old map[*file]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drop.dropped && p.drop.durable {
		return
	}
	c := p.makeChain(level)
	low := max(p.floor.durable, c.floor.durable)
	kept := c.spans[:0:0]
	for i := range c.spans {
		if s := &c.spans[i]; old[s.file] {
			s.release()
		} else {
			kept = append(kept, *s)
		}
	}
	for i := range spans {
		if s := &spans[i]; s.last >= low {
			s.file.spans.Add(1)
			s.file.live.Add(int64(s.bytes))
			kept = append(kept, *s)
			p.next = max(p.next, s.last+1)
		}
	}
	slices.SortFunc(kept, compareSpans)
	c.spans = kept
}

// hasRoomFor reports whether a span from offset first on would lie behind all
// that the partition has.
func (p *partition) hasRoomFor(first record.Offset) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return first >= p.next || p.drop.dropped
}
