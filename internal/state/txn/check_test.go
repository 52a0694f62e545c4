package txn

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// A command that Check passes and Decode refuses would end every replica that
// applies it, again at every start.
func TestCheckRefusesWhatDecodeWould(t *testing.T) {
	long := strings.Repeat("x", MaxName+1)
	for name, c := range map[string]Command{
		"no id":            &End{},
		"a long id":        &End{ID: long},
		"init's producer":  &Init{ID: "t", Timeout: 1, Producer: -2},
		"init's epoch":     &Init{ID: "t", Timeout: 1, Epoch: math.MinInt16},
		"init's spare":     &Init{ID: "t", Timeout: 1, Spare: math.MinInt64},
		"end's producer":   &End{ID: "t", Producer: math.MinInt64},
		"end's epoch":      &End{ID: "t", Epoch: -2},
		"end's spare":      &End{ID: "t", Spare: -2},
		"add's producer":   &Add{ID: "t", Producer: -2},
		"add's epoch":      &Add{ID: "t", Epoch: -2},
		"add's group":      &Add{ID: "t", Groups: []string{long}},
		"add's topic name": &Add{ID: "t", Partitions: []Partition{{Name: long}}},
	} {
		if err := Check(c); !errors.Is(err, ErrInvalid) {
			_, decoded := Decode(c.AppendTo(nil))
			t.Errorf("%s: Check says %v, Decode %v", name, err, decoded)
		}
	}
	for name, c := range map[string]Command{
		"init": &Init{ID: "t", Timeout: 1, Producer: -1, Epoch: -1, Spare: -1},
		"end":  &End{ID: "t", Producer: math.MaxInt64, Epoch: math.MaxInt16, Spare: -1},
		"add":  &Add{ID: "t", Producer: -1, Epoch: -1, Partitions: []Partition{{Name: long[1:], Number: -1}}},
	} {
		if err := Check(c); err != nil {
			t.Errorf("%s: Check says %v", name, err)
		}
		if _, err := Decode(c.AppendTo(nil)); err != nil {
			t.Errorf("%s: Decode says %v", name, err)
		}
	}
}
