//go:build unix && !linux

package wal

func preferLarge([]byte) {}
