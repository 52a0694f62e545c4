package store

import (
	"fmt"
	"testing"
)

func TestWorld(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed, 3)
			for range 400 {
				w.step()
			}
			w.flush()
			w.apply(1000)
			w.check()
			w.reopen(false)
			w.check()
			if err := w.s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
