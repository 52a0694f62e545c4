package sim

import (
	"fmt"
	"hash"
)

// trace is what happened, as a hash and, if somebody wants to read it, in words.
type trace struct {
	w      *world
	hasher hash.Hash64
	hash   uint64
	line   []byte
}

// note adds an event.
func (t *trace) note(format string, args ...any) {
	t.line = fmt.Appendf(t.line[:0], "%12.6f ", t.w.clock.Mono().Seconds())
	t.line = fmt.Appendf(t.line, format, args...)
	t.line = append(t.line, '\n')
	_, _ = t.hasher.Write(t.line)
	t.hash = t.hasher.Sum64()
	if t.w.o.Trace != nil {
		_, _ = t.w.o.Trace.Write(t.line)
	}
}
