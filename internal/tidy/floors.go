// Package tidy holds the house rules as data and as tests: which floor may
// import which, how long a function or a file may be, and what is never
// called where. It is test-only: nothing imports it.
//
// A rule is a row of a table here, with its reason, which is also what a
// breach prints. To change a rule, change the row and write the reason down in
// docs/adr/.
package tidy

import (
	"slices"
	"strings"
)

// module is the import path of the main module; packages are named relative to
// it everywhere in this package ("internal/store/wal").
const module = "github.com/polylog-mq/polylog"

// floor is one storey of the house. A package imports only packages of lower
// floors, and, within its own floor, only packages below its own folder.
type floor struct {
	// folders on this floor; each stands for itself and what lies below it,
	// unless a longer row of the table claims that.
	folders []string
	// family: every direct child of the folders is a house of its own, which
	// may import its own sub-packages but never a sibling's.
	family bool
	// pure, when not nil, is the whole list of folders that non-test files may
	// import besides the allowed part of the standard library.
	pure []string
	// outside: nothing may import this floor.
	outside bool
}

// floors is the drawing of ARCHITECTURE.md, lowest first.
var floors = []floor{
	{folders: []string{"internal/record", "internal/page", "internal/clock", "internal/due", "internal/crashfs", "internal/osfs", "internal/codec", "internal/script", "internal/fault"}},
	{folders: []string{"internal/store/wal", "internal/store/segment", "internal/store/checkpoint"}},
	{folders: []string{"internal/store"}},
	{folders: []string{"internal/replica"}},
	{folders: []string{"internal/cluster"}},
	{folders: []string{"internal/state"}, family: true, pure: []string{"internal/record", "internal/page", "internal/codec", "internal/due", "internal/fault"}},
	{folders: []string{"internal/broker"}},
	{folders: []string{"internal/brokertest"}},
	{folders: []string{"internal/protocol/aws", "internal/protocol/listen"}},
	{folders: []string{"internal/protocol"}, family: true},
	{folders: []string{"internal/config", "internal/adminapi"}},
	{folders: []string{"internal/server"}},
	{folders: []string{"internal/cli", "internal/console", "internal/admin"}},
	{folders: []string{"internal/sim"}, outside: true},
	{folders: []string{"internal/tidy"}, outside: true},
	{folders: []string{"cmd"}, outside: true},
	{folders: []string{"test", "bench"}, outside: true},
}

// testOnly are the folders that serve tests and the simulator: what is shipped
// never imports them.
var testOnly = []string{"internal/crashfs", "internal/script", "internal/brokertest", "internal/sim", "internal/tidy", "test", "bench"}

// shipped reports whether files of the package that are no tests become part of
// the server.
func shipped(pkg string) bool {
	return !slices.ContainsFunc(testOnly, func(folder string) bool { return under(pkg, folder) })
}

// place is where a package stands: its floor and the house on that floor it is
// part of.
type place struct {
	floor int
	house string
}

// placeOf finds the longest row that claims the package; ok is false for a
// package that no row claims.
func placeOf(pkg string) (at place, ok bool) {
	longest := -1
	for i, f := range floors {
		for _, folder := range f.folders {
			if !under(pkg, folder) || len(folder) <= longest {
				continue
			}
			longest, at = len(folder), place{floor: i, house: folder}
			if f.family {
				at.house = child(pkg, folder)
			}
		}
	}
	return at, longest >= 0
}

// under reports whether pkg is the folder itself or lies below it.
func under(pkg, folder string) bool {
	return pkg == folder || strings.HasPrefix(pkg, folder+"/")
}

// child returns the direct child of folder that pkg is or lies in.
func child(pkg, folder string) string {
	rest := strings.TrimPrefix(strings.TrimPrefix(pkg, folder), "/")
	name, _, _ := strings.Cut(rest, "/")
	if name == "" {
		return folder
	}
	return folder + "/" + name
}

// mayImport judges one import of a package by another, both of this house; it
// returns the reason why not, or "".
func mayImport(from, to string) string {
	a, okA := placeOf(from)
	b, okB := placeOf(to)
	switch {
	case !okA:
		return "the package stands on no floor: give it a row in internal/tidy/floors.go"
	case !okB:
		return "the imported package stands on no floor: give it a row in internal/tidy/floors.go"
	case from == to: // an external test imports what it tests
		return ""
	case floors[b.floor].outside && under(from, to+"/cmd"): // the command of a test-only package
		return ""
	case a == b:
		if under(from, to) {
			return "a sub-package never imports the package it serves"
		}
		return ""
	case floors[b.floor].outside:
		return "nothing imports " + b.house
	case b.floor < a.floor:
		return ""
	case b.floor == a.floor:
		return "siblings never import each other"
	}
	return "imports go only downward"
}
