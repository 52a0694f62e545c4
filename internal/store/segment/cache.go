package segment

import (
	"container/list"
	"sync"
	"unsafe"
)

// blockKey names a decoded piece of an index: a block, or the block table.
type blockKey struct {
	x     *Index
	block int // tableBlock for the table
}

const tableBlock = -1

// cache keeps decoded pieces of indexes up to a number of bytes. It allocates
// as it fills.
type cache struct {
	mu    sync.Mutex
	max   int
	size  int
	byKey map[blockKey]*list.Element
	lru   list.List // of *cached, the least recently used first
}

type cached struct {
	key   blockKey
	runs  []Run
	table []blockRef
}

func (c *cached) bytes() int {
	return cap(c.runs)*int(unsafe.Sizeof(Run{})) + cap(c.table)*int(unsafe.Sizeof(blockRef{})) + 128
}

func newCache(limit int) *cache {
	return &cache{max: limit, byKey: map[blockKey]*list.Element{}}
}

func (c *cache) get(k blockKey) *cached {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[k]
	if e == nil {
		return nil
	}
	c.lru.MoveToBack(e)
	return e.Value.(*cached)
}

func (c *cache) put(v *cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey[v.key] != nil || v.bytes() > c.max {
		return
	}
	c.byKey[v.key] = c.lru.PushBack(v)
	c.size += v.bytes()
	for c.size > c.max {
		c.remove(c.lru.Front())
	}
}

func (c *cache) remove(e *list.Element) {
	v := c.lru.Remove(e).(*cached)
	delete(c.byKey, v.key)
	c.size -= v.bytes()
}

// forget drops everything of one index.
func (c *cache) forget(x *Index) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.lru.Front(); e != nil; {
		next := e.Next()
		if e.Value.(*cached).key.x == x {
			c.remove(e)
		}
		e = next
	}
}
