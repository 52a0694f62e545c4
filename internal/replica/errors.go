package replica

import (
	"errors"
	"fmt"

	"github.com/polylog-mq/polylog/internal/record"
)

var (
	// ErrNotLeader is what every NotLeaderError is. The proposal was not and
	// will not be carried out.
	ErrNotLeader = errors.New("not the leader")

	// ErrUnknown means that the proposal entered the log, but whether it
	// survives is for others to decide: leadership or the disk was lost, or
	// nothing could be committed for long.
	ErrUnknown = errors.New("the outcome is unknown")

	// ErrBusy means that the group holds as many bytes of proposals as it may,
	// or that nothing could be committed for long. The proposal was not and
	// will not be carried out.
	ErrBusy = errors.New("too many bytes in flight")

	// ErrTooLarge means that the proposal alone exceeds what an entry may hold.
	ErrTooLarge = errors.New("too large for one entry")

	// ErrStopped means that the host or the group has stopped, or that its
	// disk failed. The proposal was not and will not be carried out.
	ErrStopped = errors.New("the group has stopped")

	// ErrRefused means that a change of members was not possible at this
	// moment: another one is under way, or it makes no sense.
	ErrRefused = errors.New("the change of members was refused")
)

// NotLeaderError refuses what only the leader can do.
type NotLeaderError struct {
	// Leader is who leads instead, 0 if unknown.
	Leader record.NodeID
}

func (e NotLeaderError) Error() string {
	if e.Leader == 0 {
		return "not the leader; no leader is known"
	}
	return fmt.Sprintf("not the leader; node %d is", e.Leader)
}

// Is makes errors.Is(err, ErrNotLeader) hold.
func (NotLeaderError) Is(target error) bool { return target == ErrNotLeader }
