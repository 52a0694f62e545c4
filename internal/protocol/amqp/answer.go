package amqp

// answer writes what is in the outbox without waiting, and leaves to the writer
// what is much, or what the client does not take at once. The reader calls it that
// has made the answer itself: to wake the writer would cost more than to write. Any
// goroutine may.
func (c *conn) answer() {
	if !c.writing.TryLock() {
		signal(c.session.out.wake) // the writer may have looked already
		return
	}
	done := c.over || c.answerLocked()
	c.writing.Unlock()
	if !done {
		signal(c.session.out.wake)
	}
}

// answerLocked reports whether nothing is left for the writer.
func (c *conn) answerLocked() bool {
	if len(c.rest) > 0 {
		return false
	}
	b, ok := c.session.out.takeLittle(c.spare)
	if !ok {
		return false
	}
	c.spare = b
	n, err := c.socket.Write(b)
	if n > 0 {
		c.written(n)
	}
	if err == nil && n == len(b) {
		return true
	}
	c.rest = append(c.rest, b[n:]...) // if it is broken, the writer finds out as well
	return false
}
