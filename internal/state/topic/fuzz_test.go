package topic

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
)

func sampleConfig() []Config { return []Config{{"retention.ms", "5"}, {"cleanup.policy", "compact"}} }

func FuzzCatalogCommand(f *testing.F) {
	for _, cmd := range []CatalogCommand{
		&Bootstrap{Shards: []record.ShardID{1, 2}},
		&CreateTopic{UUID: uuid("t", 1), Tenant: "x", Name: "t", Partitions: 3, Config: sampleConfig()},
		&DeleteTopic{UUID: uuid("t", 1)},
		&AlterConfigs{UUID: uuid("t", 1), Replace: true, Changes: []ConfigChange{{ConfigAppend, "cleanup.policy", "delete"}}},
		&CreatePartitions{UUID: uuid("t", 1), Count: 5},
		&AllocateProducerIDs{Count: 1000},
		&Confirm{Shard: 1, Revision: 2},
	} {
		f.Add(cmd.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		cmd, err := DecodeCatalogCommand(b)
		if err != nil {
			return
		}
		again, err := DecodeCatalogCommand(cmd.AppendTo(nil))
		if err != nil || !reflect.DeepEqual(cmd, again) {
			t.Fatalf("%+v became %+v, %v", cmd, again, err)
		}
		c := NewCatalog()
		for _, first := range []CatalogCommand{
			&Bootstrap{Shards: []record.ShardID{1, 2}},
			&CreateTopic{UUID: uuid("t", 1), Name: "t", Partitions: 3},
		} {
			if _, err := c.Apply(1, first); err != nil {
				t.Fatal(err)
			}
		}
		check := c.Check(cmd)
		if _, err := c.Apply(1, cmd); (err == nil) != (check == nil) {
			t.Fatalf("%+v: Check says %v, Apply %v", cmd, check, err)
		}
		if create, ok := cmd.(*CreateTopic); !ok || create.Partitions < 1000 {
			checkCatalogPages(t, c)
		}
	})
}

func FuzzShardCommand(f *testing.F) {
	for _, cmd := range []ShardCommand{
		&Define{After: 0, Revision: 3, Topics: []Definition{
			{Topic: 1, Revision: 2, Settings: DefaultSettings(), Partitions: []PartitionDefinition{{ID: 1}, {ID: 2, FirstEpoch: 3}}},
			{Topic: 2, Revision: 3, Dropped: true, Partitions: []PartitionDefinition{{ID: 3}}},
		}},
		&Define{Revision: 1, TermIsEpoch: true},
		&DeleteRecords{Partition: 1, Before: -1},
	} {
		f.Add(cmd.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		cmd, err := DecodeShardCommand(b)
		if err != nil {
			return
		}
		again, err := DecodeShardCommand(cmd.AppendTo(nil))
		if err != nil || !reflect.DeepEqual(cmd, again) {
			t.Fatalf("%+v became %+v, %v", cmd, again, err)
		}
		s := NewPartitions()
		var fx Effects
		if s.Apply(1, 1, cmd, &fx) != nil {
			return
		}
		for _, p := range s.All() {
			s.Append(2, 1, p, Batch{Offsets: 1, Size: 1, MaxTimestamp: 2})
		}
		checkShardPages(t, s)
	})
}

func FuzzCatalogPages(f *testing.F) {
	c := NewCatalog()
	for _, cmd := range []CatalogCommand{
		&Bootstrap{Shards: []record.ShardID{1, 2}},
		&CreateTopic{UUID: uuid("t", 1), Name: "t", Partitions: 3, Config: sampleConfig()},
		&DeleteTopic{UUID: uuid("t", 1)},
		&CreateTopic{UUID: uuid("t", 2), Name: "t", Partitions: 3},
	} {
		if _, err := c.Apply(1, cmd); err != nil {
			f.Fatal(err)
		}
	}
	d := dumpCatalog(c)
	for k, v := range d {
		f.Add([]byte(k), []byte(v))
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		o := NewCatalog()
		changed := maps.Clone(d)
		changed[string(key)] = string(value)
		for _, k := range slices.Sorted(maps.Keys(changed)) {
			if o.RestorePage([]byte(k), []byte(changed[k])) != nil {
				return
			}
		}
		if o.Restored() == nil {
			o.Topics()
			o.Pending(1)
		}
	})
}

func FuzzShardPages(f *testing.F) {
	s := sampleShard(f)
	d := dumpShard(s)
	for k, v := range d {
		f.Add([]byte(k), []byte(v))
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		o := NewPartitions()
		changed := maps.Clone(d)
		changed[string(key)] = string(value)
		for _, k := range slices.Sorted(maps.Keys(changed)) {
			if o.RestorePage([]byte(k), []byte(changed[k])) != nil {
				return
			}
		}
		if o.Restored() != nil {
			return
		}
		for _, p := range o.All() {
			o.Append(5000, 9, p, Batch{Offsets: 1, Size: 1, MaxTimestamp: 2})
		}
		o.Tick(1<<40, false, &Effects{})
	})
}

// sampleShard has two partitions of which the first has sealed segments.
func sampleShard(f testing.TB) *Partitions {
	s := NewPartitions()
	set := *DefaultSettings()
	set.SegmentBytes = 100
	define := &Define{Revision: 1, Topics: []Definition{{
		Topic: 1, Revision: 1, Settings: &set, Partitions: []PartitionDefinition{{ID: 1}, {ID: 2}},
	}}}
	if err := s.Apply(1, 1, define, &Effects{}); err != nil {
		f.Fatal(err)
	}
	for i := range 10 {
		s.Append(record.LogTime(i+1), record.Term(i/3+1), s.Lookup(1), Batch{Offsets: 2, Size: 60, MaxTimestamp: -1})
	}
	return s
}

// FuzzConfigValue: a value that is taken has one form, which is taken again.
func FuzzConfigValue(f *testing.F) {
	for d := range ConfigDefs() {
		f.Add(d.Name, d.Default)
	}
	f.Add("cleanup.policy", " delete , compact ")
	f.Add("retention.ms", "+1")
	f.Fuzz(func(t *testing.T, name, value string) {
		d := LookupConfig(name)
		if d == nil {
			return
		}
		v, err := d.canonical(value)
		if err != nil {
			return
		}
		if again, err := d.canonical(v); err != nil || again != v {
			t.Errorf("%s: %q is kept as %q, and that as %q, %v", name, value, v, again, err)
		}
	})
}
