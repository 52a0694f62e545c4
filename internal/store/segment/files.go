package segment

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrGone reports a file that was removed: its runs lie elsewhere by now, and
// whoever looked them up looks again.
var ErrGone = errors.New("the file was removed")

// files reads files at random and keeps a bounded number of them open. All
// methods may be called from any goroutine.
type files struct {
	fs  vfs.FS
	max int

	mu    sync.Mutex
	byKey map[string]*handle
	lru   list.List // of *handle without users, the least recently used first
}

// handle is an open file. It is closed when the last user is done with it and
// it has been dropped from the table.
type handle struct {
	path    string
	f       vfs.File
	users   int
	dropped bool
	elem    *list.Element // in lru while users is 0
}

func newFiles(fs vfs.FS, limit int) *files {
	return &files{fs: fs, max: limit, byKey: map[string]*handle{}}
}

// readAt fills p from offset off. A file that ends before is damaged.
func (c *files) readAt(path string, p []byte, off int64) error {
	h, err := c.acquire(path)
	if err != nil {
		return err
	}
	defer c.release(h)
	n, err := h.f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return damaged(path, off+int64(n), "the file ends %d bytes too early", len(p)-n)
	}
	return fmt.Errorf("reading %s at offset %d: %w", path, off, err)
}

func (c *files) acquire(path string) (*handle, error) {
	c.mu.Lock()
	if h := c.byKey[path]; h != nil {
		c.use(h)
		c.mu.Unlock()
		return h, nil
	}
	c.mu.Unlock()
	f, err := c.fs.Open(path)
	if oserror.IsNotExist(err) {
		return nil, fmt.Errorf("%s: %w", path, ErrGone)
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.byKey[path]; h != nil { // someone else was faster
		_ = f.Close()
		c.use(h)
		return h, nil
	}
	h := &handle{path: path, f: f, users: 1}
	c.byKey[path] = h
	for len(c.byKey) > c.max && c.lru.Len() > 0 {
		c.drop(c.lru.Front().Value.(*handle))
	}
	return h, nil
}

func (c *files) use(h *handle) {
	h.users++
	if h.elem != nil {
		c.lru.Remove(h.elem)
		h.elem = nil
	}
}

func (c *files) release(h *handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.users--; h.users > 0 {
		return
	}
	if h.dropped {
		_ = h.f.Close()
		return
	}
	h.elem = c.lru.PushBack(h)
	if len(c.byKey) > c.max {
		c.drop(c.lru.Front().Value.(*handle))
	}
}

// drop forgets a handle; c.mu is held.
func (c *files) drop(h *handle) {
	delete(c.byKey, h.path)
	h.dropped = true
	if h.elem != nil {
		c.lru.Remove(h.elem)
		h.elem = nil
		_ = h.f.Close()
	}
}

// forget closes a file that is about to be removed.
func (c *files) forget(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.byKey[path]; h != nil {
		c.drop(h)
	}
}

func (c *files) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.byKey {
		c.drop(h)
	}
}
