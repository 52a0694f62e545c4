package wire

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestShapesAgreeWithKmsg(t *testing.T) {
	for key, fresh := range requests() {
		for version := int16(0); version <= fresh().MaxVersion(); version++ {
			req := fresh()
			req.SetVersion(version)
			if got := Flexible(key, version); got != req.IsFlexible() {
				t.Errorf("%s v%d: flexible %v, kmsg says %v", kmsg.NameForKey(key), version, got, !got)
			}
			if key == keyProduce || key == keyFetch || version > shapedUpTo(key, fresh()) {
				continue
			}
			for seed := range uint64(50) {
				checkOne(t, fresh(), key, version, seed)
			}
		}
	}
}

// shapedUpTo is the last version that the shapes know: kmsg is ahead of Kafka
// 4.2 in a few.
func shapedUpTo(key int16, req kmsg.Request) int16 {
	switch key {
	case 18:
		return 4
	case 22:
		return 5
	}
	return req.MaxVersion()
}

// checkOne holds the walk of one random request against the decoder: the walk
// accepts what the encoder wrote and refuses every part of it that is cut off.
func checkOne(t *testing.T, req kmsg.Request, key, version int16, seed uint64) {
	t.Helper()
	name := kmsg.NameForKey(key)
	fill(req, seed)
	req.SetVersion(version)
	body := req.AppendTo(nil)
	if err := Check(key, version, body); err != nil {
		t.Fatalf("%s v%d seed %d: %v\n%+v\n%x", name, version, seed, err, req, body)
	}
	if err := req.ReadFrom(body); err != nil {
		t.Fatalf("%s v%d seed %d: kmsg: %v", name, version, seed, err)
	}
	for n := range len(body) {
		if err := Check(key, version, body[:n]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("%s v%d seed %d: %d of %d bytes accepted: %v", name, version, seed, n, len(body), err)
		}
	}
}

func TestCheckRefusesCountsThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		key, version int16
		body         []byte
	}{
		"array longer than the frame":       {3, 1, []byte{0, 0, 0, 100, 0, 1, 'a'}},
		"array below null":                  {3, 1, []byte{0xff, 0xff, 0xff, 0xfe}},
		"compact array longer":              {3, 9, []byte{100, 2, 'a', 0, 0, 0, 0, 0}},
		"four billion tags":                 {12, 4, append([]byte{2, 'g', 0, 0, 0, 1, 2, 'm', 0}, 0xff, 0xff, 0xff, 0xff, 0x0f)},
		"65 tags":                           {12, 4, append([]byte{2, 'g', 0, 0, 0, 1, 2, 'm', 0, MaxTags + 1}, make([]byte, 2*(MaxTags+1))...)},
		"a tag beyond the end":              {12, 4, []byte{2, 'g', 0, 0, 0, 1, 2, 'm', 0, 1, 5, 100}},
		"null where there is none":          {12, 4, []byte{0, 0, 0, 0, 1, 2, 'm', 0, 0}},
		"varint of 64 bits":                 {12, 4, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}},
		"key without a shape":               {4, 0, nil},
		"negative key":                      {-1, 0, nil},
		"key beyond the table":              {5000, 0, nil},
		"elements too small for their type": {21, 0, []byte{0, 0, 0, 1, 0, 1, 'a', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
	} {
		if err := Check(c.key, c.version, c.body); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	heartbeat := []byte{2, 'g', 0, 0, 0, 1, 2, 'm', 0, 0, 'x'}
	if err := Check(12, 4, heartbeat); err != nil {
		t.Errorf("trailing bytes: %v", err)
	}
	tagged := append([]byte{2, 'g', 0, 0, 0, 1, 2, 'm', 0, MaxTags}, make([]byte, 2*MaxTags)...)
	if err := Check(12, 4, tagged); err != nil {
		t.Errorf("as many tags as there may be: %v", err)
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	req := kmsg.NewPtrOffsetCommitRequest()
	fill(req, 7)
	req.Version = 8
	body := req.AppendTo(nil)
	if n := testing.AllocsPerRun(100, func() {
		if err := Check(8, 8, body); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzCheck: what the walk accepts, kmsg decodes.
func FuzzCheck(f *testing.F) {
	for key, fresh := range requests() {
		for _, version := range []int16{0, fresh().MaxVersion()} {
			req := fresh()
			fill(req, uint64(version))
			req.SetVersion(version)
			f.Add(key, version, req.AppendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		if key == keyProduce || key == keyFetch || version < 0 || Check(key, version, body) != nil {
			return
		}
		req := kmsg.RequestForKey(key)
		if version > shapedUpTo(key, req) {
			return
		}
		req.SetVersion(version)
		if err := req.ReadFrom(body); err != nil {
			t.Fatalf("%s v%d: accepted, then %v", kmsg.NameForKey(key), version, err)
		}
	})
}
