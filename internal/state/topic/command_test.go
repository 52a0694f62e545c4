package topic

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
)

// Whatever a client asks for is logged before it is judged, so it must come
// back out of the log, and be refused by Apply.
func TestNonsenseIsRefusedByApplyNotByTheLog(t *testing.T) {
	c := NewCatalog()
	for _, cmd := range []CatalogCommand{
		&Bootstrap{Shards: []record.ShardID{1}},
		&CreateTopic{UUID: uuid("t", 1), Name: "t", Partitions: 1},
	} {
		if _, err := c.Apply(1, cmd); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("x", 1<<20)
	manyConfigs := make([]Config, 10*MaxConfigs)
	manyChanges := make([]ConfigChange, 10*MaxConfigs)
	for name, c2 := range map[string]struct {
		cmd  CatalogCommand
		want error
	}{
		"name":        {&CreateTopic{UUID: uuid("u", 1), Name: long, Partitions: 1, Config: []Config{}}, ErrInvalidName},
		"tenant":      {&CreateTopic{UUID: uuid("u", 1), Name: "u", Tenant: long, Partitions: 1, Config: []Config{}}, ErrInvalidName},
		"config name": {&CreateTopic{UUID: uuid("u", 1), Name: "u", Partitions: 1, Config: []Config{{long, ""}}}, ErrInvalidConfig},
		"value":       {&CreateTopic{UUID: uuid("u", 1), Name: "u", Partitions: 1, Config: []Config{{"preallocate", long}}}, ErrInvalidConfig},
		"configs":     {&CreateTopic{UUID: uuid("u", 1), Name: "u", Partitions: 1, Config: manyConfigs}, ErrInvalidConfig},
		"uuid":        {&CreateTopic{Name: "u", Partitions: 1, Config: []Config{}}, ErrTopicExists},
		"changes":     {&AlterConfigs{UUID: uuid("t", 1), Changes: manyChanges}, ErrInvalidConfig},
		"subtract": {&AlterConfigs{UUID: uuid("t", 1), Changes: []ConfigChange{
			{ConfigSubtract, "cleanup.policy", long},
		}}, ErrInvalidConfig},
		"delete": {&AlterConfigs{UUID: uuid("t", 1), Changes: []ConfigChange{
			{ConfigDelete, "cleanup.policy", long},
		}}, ErrInvalidConfig},
		"shards": {&Bootstrap{Shards: make([]record.ShardID, 2*MaxShards)}, ErrStale},
	} {
		decoded, err := DecodeCatalogCommand(c2.cmd.AppendTo(nil))
		if err != nil || !reflect.DeepEqual(decoded, c2.cmd) {
			t.Errorf("%s: it does not survive its logged form: %v", name, err)
			continue
		}
		_, err = c.Apply(1, decoded)
		if !errors.Is(err, c2.want) || len(err.Error()) > 6000 {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}
