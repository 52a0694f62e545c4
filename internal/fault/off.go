//go:build !planted

package fault

// Planted says whether bugs can be switched on in this build.
const Planted = false

// On reports whether a bug is planted: never, in this build.
func On(Bug) bool { return false }

// Plant does nothing in this build.
func Plant(Bug) {}
