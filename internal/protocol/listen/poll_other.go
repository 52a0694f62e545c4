//go:build !linux

package listen

import "errors"

// poll is not there.
type poll struct{}

func newPoll() (*poll, error) { return nil, errors.ErrUnsupported }

func (*poll) add(*Socket, uint64) error      { return errors.ErrUnsupported }
func (*poll) remove(*Socket)                 {}
func (*poll) run(func(uint64, bool), func()) {}
func (*poll) close()                         {}
