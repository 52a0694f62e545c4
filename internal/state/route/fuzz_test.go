package route

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzCommand(f *testing.F) {
	for _, s := range []string{
		"010461636d6507636c69656e7473000671756f72756d", "020461636d65",
		"030461636d65046c6f677305746f706963030101001c12616c7465726e6174652d65786368616e6765530000000472657374",
		"040005627269656601", "050461636d65046c6f677300017103612e230b016e6c0000000000000005",
		"060461636d65046c6f6773010a616d712e66616e6f75740000", "0707", "08010203",
		"090100066c6f67676564017803616c6c011107657870697265736c0000000000000005", "0a0100066c6f67676564",
	} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		cmd, err := DecodeCommand(b)
		if err != nil {
			return
		}
		logged := cmd.AppendTo(nil)
		again, err := DecodeCommand(logged)
		if err != nil || !bytes.Equal(again.AppendTo(nil), logged) {
			t.Fatalf("%x becomes %x: %v", b, logged, err)
		}
		w := &world{}
		s := New()
		_, _ = s.Apply(cmd, w) // must not fall over
		if _, err := s.Apply(again, w); err != nil {
			return
		}
		restored := New()
		s.Freeze()
		s.EncodePages(func(key, value []byte) {
			if err := restored.RestorePage(key, value); value != nil && err != nil {
				t.Fatal(err)
			}
		}, func() bool { return true })
		if err := restored.Restored(); err != nil {
			t.Fatalf("what a command has made cannot be restored: %v", err)
		}
	})
}

func FuzzPage(f *testing.F) {
	f.Add(unhex(f, "72"), unhex(f, "010e02010701"))
	f.Add(unhex(f, "7461636d65"), unhex(f, "010707636c69656e7473000671756f72756d"))
	f.Add(unhex(f, "78000000000000000e"), unhex(f, "01000562726965660666616e6f75740403090000"))
	f.Add(unhex(f, "620000000000000000"), unhex(f, "01010d010003612e230b016e6c0000000000000005020d00080000"))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		s := New()
		if s.RestorePage(key, value) == nil {
			_ = s.Restored()
		}
	})
}

func FuzzTable(f *testing.F) {
	f.Add([]byte(AppendText(AppendInteger(nil, "n", 1), "s", "text")))
	f.Add(unhex(f, "0161460000000d0162410000000773017f7401560169"))
	f.Fuzz(func(t *testing.T, b []byte) {
		table := Table(b)
		err := table.Check()
		n := 0
		for name, v := range table.All() {
			n += 2 + len(name) + len(v.Data)
			if size, _ := fixed(v.Type); size < 0 {
				n += 4
			}
			if got, ok := table.Lookup(string(name)); !ok || err == nil && !got.Equal(got) && got.Type != TypeDouble && got.Type != TypeFloat {
				t.Fatalf("field %q is not found", name)
			}
			_, _, _ = v.class(), v.text(), v.typeName()
		}
		if err == nil && n != len(b) {
			t.Fatalf("a well-formed table of %d bytes has fields of %d", len(b), n)
		}
		if p, err := newPattern(table); err == nil {
			p.matches(table)
		}
	})
}

func FuzzQueue(f *testing.F) {
	q := Queue{Durable: true, Owner: Owner{1, 2, 3}, Arguments: AppendInteger(nil, "n", 1)}
	f.Add(q.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := DecodeQueue(b)
		if err != nil || len(b) == 0 {
			return
		}
		_ = q.Check()
		if again, err := DecodeQueue(q.AppendTo(nil)); err != nil || !bytes.Equal(again.AppendTo(nil), q.AppendTo(nil)) {
			t.Fatalf("%x becomes %+v: %v", b, again, err)
		}
	})
}
