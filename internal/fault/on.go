//go:build planted

package fault

// Planted says whether bugs can be switched on in this build.
const Planted = true

var planted Bug

// On reports whether a bug is planted.
func On(b Bug) bool { return planted == b }

// Plant switches a bug on, and any other off; None switches all off. It must
// not be called while anything of the product runs.
func Plant(b Bug) { planted = b }
