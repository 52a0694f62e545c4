package broker

import "sync"

// background runs functions that may wait for a disk, in the order they come, in
// at most backgroundWorkers goroutines, which exist only while there is work.
type background struct {
	outside func(func()) // if set, it runs them instead

	mu      sync.Mutex
	queue   []func()
	running int
}

func (b *background) run(f func()) {
	if b.outside != nil {
		b.outside(f)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = append(b.queue, f)
	if b.running < backgroundWorkers {
		b.running++
		go b.work()
	}
}

func (b *background) work() {
	for {
		b.mu.Lock()
		if len(b.queue) == 0 {
			b.running--
			b.mu.Unlock()
			return
		}
		f := b.queue[0]
		b.queue[0] = nil
		b.queue = b.queue[1:]
		b.mu.Unlock()
		f()
	}
}
