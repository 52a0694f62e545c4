package store

import "context"

// Rewriting says when files are rewritten.
type Rewriting struct{}

func (r *Rewriting) defaults() {}

type job struct{}

func (*job) abort() {}

func (s *Store) debt() float64 { return 0 }

func (s *Store) runRewriter(ctx context.Context) { <-ctx.Done() }

// Rewrite does one step, about budget bytes, of rewriting level 0 files into
// level 1, and reports whether there was anything to do. Its results count
// from the next checkpoint on. One goroutine at a time may call it.
func (s *Store) Rewrite(budget int) (bool, error) { return false, nil }
