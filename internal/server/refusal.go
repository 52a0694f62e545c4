package server

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/polylog-mq/polylog/internal/protocol/listen"
	"github.com/polylog-mq/polylog/internal/store"
)

// Refusal is a reason not to start that the operator can do something about.
type Refusal struct {
	// Setting is the key of the setting that decides it: "kafka.listen".
	Setting string
	// Err is what is wrong.
	Err error
	// Way is what to do: a sentence for people.
	Way string
}

func (r *Refusal) Error() string { return r.Setting + ": " + r.Err.Error() }
func (r *Refusal) Unwrap() error { return r.Err }

// refuseListen explains why an address could not be bound.
func refuseListen(setting, flag, address string, err error) error {
	r := &Refusal{Setting: setting, Err: fmt.Errorf("listening on %s: %w", address, err)}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		r.Err = fmt.Errorf("another program listens on %s", address)
		r.Way = fmt.Sprintf("give it another address with %s, port 0 for a free one, or switch it off with %s ''", flag, flag)
	case errors.Is(err, syscall.EACCES):
		r.Way = fmt.Sprintf("ports below 1024 need privileges; give it another address with %s", flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		r.Err = fmt.Errorf("this machine does not have the address %s", address)
		r.Way = fmt.Sprintf("give it an address of this machine with %s", flag)
	default:
		r.Way = fmt.Sprintf("give it another address with %s", flag)
	}
	return r
}

// refuseData explains why the data folder could not be opened.
func refuseData(dir string, err error) error {
	r := &Refusal{Setting: "data.dir", Err: fmt.Errorf("%s: %w", dir, err)}
	path, ok := errors.AsType[*os.PathError](err)
	nowhere := ok && path.Op == "mkdir" && errors.Is(err, os.ErrNotExist)
	switch {
	case errors.Is(err, store.ErrLocked):
		r.Err = fmt.Errorf("%s is in use by another server", dir)
		r.Way = "stop that one, or give this one a folder of its own with --data-dir"
	case errors.Is(err, store.ErrNewerFormat):
		r.Way = "start the version that wrote it, or a newer one; nothing was changed"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		r.Err = fmt.Errorf("%s: the disk is full", dir)
		r.Way = "free some space, or choose a folder on another disk with --data-dir; nothing was lost"
	case errors.Is(err, store.ErrReadOnly), errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS):
		r.Err = fmt.Errorf("%s cannot be written by this user", dir)
		r.Way = "make it writable, or choose another folder with --data-dir"
	case errors.Is(err, syscall.ENOTDIR), nowhere:
		r.Way = "no folder can be made there; choose another with --data-dir"
	default:
		r.Way = "nothing was changed; see docs/guide/damage.md before touching the folder"
	}
	return r
}

// refuseTLS explains why a listener cannot have the certificate it was given.
func refuseTLS(protocol string, err error) error {
	bad, ok := errors.AsType[*listen.FileError](err)
	if !ok {
		return fmt.Errorf("securing the listener of %s: %w", protocol, err)
	}
	r := &Refusal{Setting: protocol + ".tls-" + string(bad.Part), Err: err}
	flag := "--" + protocol + "-tls-" + string(bad.Part)
	switch {
	case errors.Is(err, os.ErrNotExist):
		r.Way = "name a file that exists with " + flag
	case errors.Is(err, os.ErrPermission):
		r.Way = "let this user read it, or name another file with " + flag
	case bad.Part == listen.Key:
		r.Way = "name the key, in PEM and without a password, that the certificate was made for with " + flag
	default:
		r.Way = "name a file in PEM with " + flag
	}
	return r
}
