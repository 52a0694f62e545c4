package osfs

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// large makes a file that is worth freeing in pieces.
func large(t *testing.T) (name string, content []byte) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "large")
	content = bytes.Repeat([]byte("0123456789abcdef"), 4*freedStep/16)
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name, content
}

// remove removes a file and waits until nothing is left to be freed.
func remove(t *testing.T, name string) {
	t.Helper()
	f := New()
	if err := f.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("the name is still there:", err)
	}
	end := time.Now().Add(20 * time.Second)
	for busy := true; busy; {
		f.reaper.mu.Lock()
		busy = f.reaper.busy
		f.reaper.mu.Unlock()
		if time.Now().After(end) {
			t.Fatal("it is not freed")
		}
	}
}

func TestRemoveFreesInPieces(t *testing.T) {
	name, _ := large(t)
	var r reaper
	f := r.claim(name)
	if f == nil {
		t.Fatal("not claimed")
	}
	defer f.Close()
	if unshared(f) {
		t.Error("a file with a name counts as nobody's")
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if !unshared(f) {
		t.Skip("this file system does not tell who has a file")
	}
	if short(f) {
		t.Skip("the disk is nearly full")
	}
	shrink(f)
	if i, err := f.Stat(); err != nil || i.Size() > freedStep {
		t.Errorf("%v bytes are left to be freed at once, %v", i.Size(), err)
	}
}

func TestRemove(t *testing.T) {
	name, _ := large(t)
	remove(t, name)
	if err := New().Remove(name); !errors.Is(err, fs.ErrNotExist) {
		t.Error("removing what is not there:", err)
	}
	small := filepath.Join(t.TempDir(), "small")
	if err := os.WriteFile(small, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	remove(t, small)
	folder := t.TempDir()
	if err := New().Remove(folder); err != nil {
		t.Error("removing a folder:", err)
	}
}

// TestRemoveKeepsWhatOthersHave: a handle, or another name.
func TestRemoveKeepsWhatOthersHave(t *testing.T) {
	name, content := large(t)
	h, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	remove(t, name)
	got := make([]byte, len(content))
	if _, err := h.ReadAt(got, 0); err != nil || !bytes.Equal(got, content) {
		t.Error("a reader has lost the file:", err)
	}
	name, content = large(t)
	if err := os.Link(name, name+"-too"); err != nil {
		t.Fatal(err)
	}
	remove(t, name)
	if got, err := os.ReadFile(name + "-too"); err != nil || !bytes.Equal(got, content) {
		t.Error("the other name has lost the file:", err)
	}
}

// TestRemoveOfManyFilesWaitsForNone: what is beyond maxDying is freed at once.
func TestRemoveOfManyFilesWaitsForNone(t *testing.T) {
	name, _ := large(t)
	r := reaper{busy: true, dying: make([]*os.File, maxDying)}
	f := r.claim(name)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	r.add(f)
	if err := f.Close(); err == nil || len(r.dying) != maxDying {
		t.Errorf("it waits with %d others", len(r.dying))
	}
}
