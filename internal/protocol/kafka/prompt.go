package kafka

import "sync"

// answerers answer the calls that are prompt for all connections. A commit makes
// the answers of many connections ready at once: to wake the writer of each would
// cost more than to encode what it writes.
type answerers struct {
	all  []answerer
	next uint32 // of all, for the next connection
	mu   sync.Mutex
}

// answerer is a goroutine that is there while there is something to answer.
type answerer struct {
	mu      sync.Mutex
	conns   []*conn // that have something for it, and were claimed for it
	spare   []*conn
	running bool
}

func newAnswerers(n int) *answerers { return &answerers{all: make([]answerer, max(1, n))} }

// assign returns the answerer of a new connection.
func (a *answerers) assign() *answerer {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next++
	return &a.all[int(a.next)%len(a.all)]
}

// add has a connection answered, which the caller has claimed. Any goroutine may
// call it; it does not block.
func (a *answerer) add(c *conn) {
	a.mu.Lock()
	a.conns = append(a.conns, c)
	start := !a.running
	a.running = true
	a.mu.Unlock()
	if start {
		go a.run()
	}
}

func (a *answerer) run() {
	for {
		a.mu.Lock()
		conns := a.conns
		if len(conns) == 0 {
			a.running = false
			a.mu.Unlock()
			return
		}
		a.conns = a.spare
		a.mu.Unlock()
		for i, c := range conns {
			conns[i] = nil
			c.answerPromptly()
		}
		a.spare = conns[:0]
	}
}

// answerPromptly answers the calls that are ready and prompt, and leaves the
// others, and what the client does not take at once, to the connection's own
// writer. The pipeline was claimed for it.
func (c *conn) answerPromptly() {
	for {
		err := c.work(true)
		if err != nil {
			c.note("writing", err)
			c.Abort()
		}
		if c.pipe.yield(true, c.out.Size() > 0) {
			return
		}
	}
}
