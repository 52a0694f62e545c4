package clock

import (
	"slices"
	"testing"
	"time"
)

func TestVirtualRunsWhatIsDueInOrder(t *testing.T) {
	start := time.Unix(1_000, 0)
	v := NewVirtual(start)
	var ran []string
	note := func(name string) func() {
		return func() { ran = append(ran, name+"@"+v.Mono().String()) }
	}
	v.AfterFunc(2*time.Second, note("b"))
	v.AfterFunc(time.Second, func() {
		note("a")()
		v.AfterFunc(time.Second, note("c")) // at the time of b, set later
	})
	stopped := v.AfterFunc(time.Second, note("stopped"))
	if !stopped.Stop() || stopped.Stop() {
		t.Fatal("Stop must report whether the function waited")
	}
	if d, ok := v.Next(); !ok || d != time.Second {
		t.Fatalf("Next = %v, %v", d, ok)
	}
	v.Advance(3 * time.Second)
	if want := []string{"a@1s", "b@2s", "c@2s"}; !slices.Equal(ran, want) {
		t.Fatalf("ran %v, want %v", ran, want)
	}
	if got := v.Now().Sub(start); got != 3*time.Second || v.Mono() != 3*time.Second {
		t.Fatalf("wall moved %v, mono is %v", got, v.Mono())
	}
	if _, ok := v.Next(); ok {
		t.Fatal("nothing waits any more")
	}
}

func TestVirtualJumpMovesTheWallAlone(t *testing.T) {
	v := NewVirtual(time.Unix(1_000, 0))
	ran := false
	timer := v.AfterFunc(time.Minute, func() { ran = true })
	v.Jump(time.Hour)
	v.Advance(30 * time.Second)
	if ran || v.Mono() != 30*time.Second || v.Now().Unix() != 1_000+3_600+30 {
		t.Fatalf("ran %v, mono %v, wall %v", ran, v.Mono(), v.Now())
	}
	if !timer.Reset(time.Minute) {
		t.Fatal("Reset must report that the function waited")
	}
	v.Advance(59 * time.Second)
	if ran {
		t.Fatal("ran before its new time")
	}
	v.Advance(time.Second)
	if !ran {
		t.Fatal("did not run at its new time")
	}
}
