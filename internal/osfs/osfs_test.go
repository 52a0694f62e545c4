package osfs

import (
	"bytes"
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// opener is what the log asks for.
type opener interface {
	OpenDirect(name string, category vfs.DiskWriteCategory) (vfs.File, error)
	OpenDirectRead(name string) (vfs.File, error)
}

func page(fill byte) []byte {
	b := make([]byte, 2*4096)
	skip := -uintptr(unsafe.Pointer(&b[0])) & 4095
	b = b[skip : skip+4096]
	for i := range b {
		b[i] = fill
	}
	return b
}

// TestDirect: what is written past the page cache is seen through it, also by
// a handle that had read the place before.
func TestDirect(t *testing.T) {
	fs, ok := any(New()).(opener)
	if !ok {
		t.Skip("not on this system")
	}
	name := filepath.Join(t.TempDir(), "file")
	w, err := fs.OpenDirect(name, "test")
	if err != nil {
		t.Skip("the file system of the temporary folder takes no direct writes:", err)
	}
	defer w.Close()
	if _, err := w.WriteAt(page('a'), 0); err != nil {
		t.Skip("the file system of the temporary folder takes no direct writes:", err)
	}
	r, err := New().Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d, err := fs.OpenDirectRead(name)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got := make([]byte, 4096)
	for _, fill := range []byte("abcab") {
		if _, err := w.WriteAt(page(fill), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := r.ReadAt(got, 0); err != nil || !bytes.Equal(got, page(fill)) {
			t.Fatalf("wrote %q, read %q, %v", fill, got[0], err)
		}
		p := page(0)
		if _, err := d.ReadAt(p, 0); err != nil || !bytes.Equal(p, page(fill)) {
			t.Fatalf("wrote %q, read directly %q, %v", fill, p[0], err)
		}
	}
	if i, err := w.Stat(); err != nil || i.Size() != 4096 {
		t.Errorf("the file is %v, %v", i, err)
	}
	if err := errors.Join(w.Preallocate(0, 1<<20), w.SyncData(), w.Sync()); err != nil && !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Error(err)
	}
	if _, err := w.WriteAt(page('d')[:100], 0); err == nil {
		t.Error("a write of 100 bytes was taken: this handle goes through the page cache")
	}
}
