package group

import (
	"errors"
	"strings"
	"testing"
)

// A command that Check passes and Decode refuses would end every replica that
// applies it.
func TestCheckRefusesWhatDecodeWould(t *testing.T) {
	long := strings.Repeat("x", MaxName+1)
	big := make([]byte, MaxMetadata+1)
	for name, c := range map[string]Command{
		"join's group":     &Join{Group: long, SessionTimeout: MinSessionTimeout},
		"join's protocol":  &Join{Group: "g", SessionTimeout: MinSessionTimeout, Protocols: []Protocol{{Name: long}}},
		"join's metadata":  &Join{Group: "g", SessionTimeout: MinSessionTimeout, Protocols: []Protocol{{Name: "p", Metadata: big}}},
		"sync's member":    &Sync{Group: "g", Assignments: []Assignment{{Member: long}}},
		"sync's data":      &Sync{Group: "g", Assignments: []Assignment{{Member: "m", Data: big}}},
		"leave's group":    &Leave{Group: long},
		"leave's member":   &Leave{Group: "g", Members: []Leaver{{Member: long}}},
		"commit's group":   &Commit{Group: long},
		"commit's topic":   &Commit{Group: "g", Topics: []CommitTopic{{Name: long}}},
		"deleted group":    &Delete{Group: long},
		"group of offsets": &DeleteOffsets{Group: long},
		"topic of offsets": &DeleteOffsets{Group: "g", Topics: []DeleteTopic{{Name: long}}},
	} {
		if err := Check(c); !errors.Is(err, ErrTooLarge) {
			_, decoded := Decode(c.AppendTo(nil))
			t.Errorf("%s: Check says %v, Decode %v", name, err, decoded)
		}
	}
}
