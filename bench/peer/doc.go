// Package peer starts the servers that a run compares, each fresh in a scratch
// directory and on a port of its own, reads what they cost, and stops them.
package peer
