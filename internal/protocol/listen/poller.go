package listen

import (
	"sync"
	"sync/atomic"
)

// Poller reads sockets for those they belong to. Each of its goroutines waits
// for many at a time: when requests are small and come from many connections, to
// wake a goroutine for each costs more than to read it, and a goroutine that
// reads until there is nothing more makes every other call for nothing.
//
// None is started before there is a socket to watch. All methods may be called from any goroutine.
type Poller struct {
	rings []*ring
	next  atomic.Uint32 // of rings, for the next socket
}

// NewPoller returns a poller with n goroutines.
func NewPoller(n int) *Poller {
	p := &Poller{rings: make([]*ring, n)}
	for i := range p.rings {
		p.rings[i] = &ring{watched: make(map[uint64]*Watch)}
	}
	return p
}

// Watch returns a watch on a socket, nil if there is no such thing here: s is
// nil, or the system has no way to do it.
//
// take is given what was read, by one goroutine at a time. It must not block, nor
// take long, nor keep b. When it returns false the socket is given back.
//
// alone says that this socket was the only one to be read, as it has been with
// others for a while: the goroutine that it belongs to would be woken for it as
// well, and may do more.
func (p *Poller) Watch(s *Socket, take func(b []byte, alone bool) bool) *Watch {
	if s == nil || len(p.rings) == 0 {
		return nil
	}
	r := p.rings[int(p.next.Add(1))%len(p.rings)]
	w := &Watch{ring: r, socket: s, take: take, returned: make(chan struct{}, 1)}
	if !r.enter(w) {
		return nil
	}
	return w
}

// Close ends the goroutines. Nothing is read any more.
func (p *Poller) Close() {
	for _, r := range p.rings {
		r.close()
	}
}

// Watch is a socket that a Poller can read. It belongs to one goroutine.
type Watch struct {
	ring     *ring
	id       uint64 // within the ring
	socket   *Socket
	take     func(b []byte, alone bool) bool
	returned chan struct{}

	mu   sync.Mutex // held while the poller reads
	lent bool       // the kernel knows the socket
}

// Lend has the poller read the socket from now on, and what has come already.
// It returns false if that cannot be had.
func (w *Watch) Lend() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.returned: // it was reclaimed just then
	default:
	}
	w.lent = w.ring.poll.add(w.socket, w.id) == nil
	return w.lent
}

// Returned receives when the poller has given the socket back: take wanted that,
// or the peer has ended the connection, or it is broken, which the next read by
// other means finds out as well.
func (w *Watch) Returned() <-chan struct{} { return w.returned }

// Reclaim takes the socket back. When it returns take does not run, nor will it
// before the next Lend.
func (w *Watch) Reclaim() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lent {
		w.backLocked()
	}
}

// backLocked has the kernel tell no more of the socket, which would wake the
// poller for what others read.
func (w *Watch) backLocked() {
	w.lent = false
	w.ring.poll.remove(w.socket)
}

// Close ends the watch. The socket must have been given back, reclaimed or
// closed.
func (w *Watch) Close() { w.ring.leave(w) }

// read reads what there is. Only new bytes make the kernel tell of a socket
// again, so it must read all; a read that does not fill the buffer has, unless
// the peer has ended the connection.
func (w *Watch) read(buf []byte, ended, alone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.lent {
		n, err := w.socket.Read(buf)
		switch {
		case err != nil, n > 0 && !w.take(buf[:n], alone):
			w.backLocked()
			w.returned <- struct{}{}
		case n == 0, n < len(buf) && !ended:
			return
		}
	}
}

// ring is one goroutine of a poller with the sockets that it waits for.
type ring struct {
	poll  *poll
	start sync.Once

	mu      sync.Mutex
	watched map[uint64]*Watch
	last    uint64 // id that was given
	closed  bool

	ready []readable // the goroutine's
	buf   []byte
	lone  int // times in a row that one socket was to be read
}

// readable is a socket that has something to read.
type readable struct {
	watch *Watch
	ended bool // that is all there will be
}

// enter takes in a watch.
func (r *ring) enter(w *Watch) bool {
	r.start.Do(func() {
		p, err := newPoll()
		if err != nil {
			return // connections are read in another way
		}
		r.poll, r.buf = p, make([]byte, pollBuffer)
		go p.run(r.tell, r.read)
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.poll == nil || r.closed {
		return false
	}
	r.last++
	w.id = r.last
	r.watched[w.id] = w
	return true
}

func (r *ring) leave(w *Watch) {
	r.mu.Lock()
	delete(r.watched, w.id)
	r.mu.Unlock()
}

func (r *ring) close() {
	r.start.Do(func() {})
	r.mu.Lock()
	was := r.closed
	r.closed = true
	r.mu.Unlock()
	if r.poll != nil && !was {
		r.poll.close()
	}
}

// tell notes a socket that has something to read.
func (r *ring) tell(id uint64, ended bool) {
	r.mu.Lock()
	w := r.watched[id]
	r.mu.Unlock()
	if w != nil {
		r.ready = append(r.ready, readable{w, ended})
	}
}

// read reads the sockets that were told of.
func (r *ring) read() {
	switch len(r.ready) {
	case 0: // the kernel told of what had been read already
	case 1:
		r.lone++
	default:
		r.lone = 0
	}
	for _, s := range r.ready {
		s.watch.read(r.buf, s.ended, r.lone > manyLone)
	}
	clear(r.ready)
	r.ready = r.ready[:0]
}
