package wal

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestDump(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(fs, 1)
	o.Salt = zeroReader{}
	l, _ := open(t, o)
	write(t, l, hardState(1, "vote"), entry(1, 1, strings.Repeat("x", 100)))
	write(t, l, Frame{Kind: KindEntry, EntryKind: 2, Group: 7, Index: 5, Term: 3, Body: []byte("conf")})
	l.Close()
	path := "/wal/" + fileName(1)
	check := func(want string) {
		t.Helper()
		var got bytes.Buffer
		if err := Dump(fs, path, &got); err != nil {
			t.Fatal(err)
		}
		if got.String() != want {
			t.Errorf("dumped\n%swant\n%s", got.String(), want)
		}
	}
	const head = "file 1 lane 0 version 1 size 65536 salt 00000000 first-sequence 1 head-frames 0\n" +
		"        64 sequence 1 durable 0 hardstate group 1 index 1 term 7 entry-kind 0 length 4\n"
	const rest = "       296 sequence 3 durable 2 mark\n" +
		"       360 sequence 4 durable 2 entry group 7 index 5 term 3 entry-kind 2 length 4\n" +
		"       428 sequence 5 durable 4 mark\n" +
		"       492 end: there is no frame header, and no frame follows\n"
	check(head + "       132 sequence 2 durable 0 entry group 1 index 1 term 1 entry-kind 0 length 100\n" + rest)
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte("!"), 250)
	check(head + "       132 bad: the body's checksum is wrong; the next frame follows after 164 bytes, its body unchecked\n" + rest)
	f.WriteAt([]byte("!"), 3)
	check("not readable: it does not begin like a wal file\n")
	f.Close()
	if err := Dump(fs, "/wal/none", &bytes.Buffer{}); err == nil {
		t.Error("dumped what is not there")
	}
}

// FuzzScan feeds recovery and the dump arbitrary bytes behind a good file
// header: no panic, nothing shown that lacks a good frame, and no memory beyond
// the file's size.
func FuzzScan(f *testing.F) {
	h := fileHeader{version: formatVersion, num: 1, size: MinFileSize, first: 1}
	var head [headerSize]byte
	h.encode(&head)
	file, _ := vfs.NewMem().Create("/f", category)
	w := writer{f: file, recent: newRecent(&Options{FileSize: MinFileSize, Memory: &heapMemory{}})}
	if err := w.start(&h); err != nil {
		f.Fatal(err)
	}
	w.frame(&Frame{Kind: KindHardState, Group: 1, Body: []byte("h")}, 1, 0)
	w.frame(&Frame{Kind: KindEntry, Group: 1, Index: 1, Body: []byte("body")}, 2, 1)
	w.frame(&Frame{Kind: KindMark}, 3, 2)
	f.Add(w.chunk.mem[headerSize:w.chunk.n])
	f.Add(w.chunk.mem[headerSize : w.chunk.n-10])
	f.Add(append([]byte("torn"), w.chunk.mem[headerSize:w.chunk.n]...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		data := append(bytes.Clone(head[:]), body...)
		if len(data) > MinFileSize {
			data = data[:MinFileSize]
		}
		s := newScan(bytes.NewReader(data), "/f", h, 0)
		end := int64(headerSize)
		err := s.run(func(pos Position, f *Frame) error {
			if pos.Offset < end || pos.Offset+int64(len(f.Body)) > int64(len(data)) {
				t.Fatalf("frame at %d, the last ended at %d", pos.Offset, end)
			}
			end = pos.Offset + int64(len(f.Body))
			return nil
		})
		if err == nil && s.torn > int64(len(data)) {
			t.Fatalf("torn up to %d of %d bytes", s.torn, len(data))
		}
		if cap(s.r.buf) > 2*MinFileSize {
			t.Fatalf("a buffer of %d bytes", cap(s.r.buf))
		}
		var out bytes.Buffer
		if err := dump(bytes.NewReader(data), "/f", &out); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzHeader: what decodes encodes to the same bytes.
func FuzzHeader(f *testing.F) {
	var b [headerSize]byte
	(&header{kind: KindEntry, length: 3, sequence: 9}).encode(&b, 5)
	f.Add(b[:], uint32(5))
	f.Fuzz(func(t *testing.T, data []byte, salt uint32) {
		if len(data) >= headerSize { // let the checksum pass
			copy(data, frameMagic[:])
			sum := checksum(salt, data[8:headerSize])
			data[4], data[5], data[6], data[7] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
		}
		h, ok := decodeHeader(data, salt)
		if ok != (len(data) >= headerSize) {
			t.Fatalf("decoded: %v", ok)
		}
		var again [headerSize]byte
		h.encode(&again, salt)
		if ok && !bytes.Equal(again[:], data[:headerSize]) {
			t.Fatal("a header changed on the way")
		}
	})
}
