package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/polylog-mq/polylog/internal/cli/kafkaclient"
)

// Exit codes. They are part of the interface: scripts rely on them.
const (
	exitOK          = 0
	exitFailed      = 1   // anything without a code of its own
	exitUsage       = 2   // the command line or the configuration is wrong
	exitUnreachable = 3   // no server answers
	exitNotFound    = 4   // the topic or group does not exist
	exitRefused     = 5   // the server refused
	exitInterrupted = 130 // Ctrl-C
)

// usageError is a command line that cannot be.
type usageError struct {
	err     error
	command string
}

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// hinted is an error that knows what to do about it.
type hinted struct {
	err  error
	hint string
	code int
}

func (e hinted) Error() string { return e.err.Error() }
func (e hinted) Unwrap() error { return e.err }

// about names what an error is about, unless there is none.
func about(what, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", what, name, err)
}

// hints say what to do about what a server answers.
var hints = map[kafkaclient.Code]string{
	kafkaclient.UnknownTopic:       "'polylog topic list' shows what there is, 'polylog topic create' makes one",
	kafkaclient.TopicAlreadyExists: "with --if-not-exists that is no error",
	kafkaclient.InvalidConfig:      "'polylog topic describe NAME --format wide' shows the settings there are, and their values",
	kafkaclient.OffsetOutOfRange:   "'polylog topic describe' shows which offsets are kept; --offset start begins at the first",
	kafkaclient.StorageError:       "if its disk is full: deleting topics or files makes room, and it goes on by itself; else its log tells more",
	kafkaclient.GroupIDNotFound:    "'polylog group list' shows what there is",
	kafkaclient.NonEmptyGroup:      "stop its consumers first; 'polylog group describe' shows them",
	kafkaclient.UnknownMemberID:    "stop its consumers first; 'polylog group describe' shows them",
}

// missing are the answers that say that something does not exist.
var missing = []kafkaclient.Code{kafkaclient.UnknownTopic, kafkaclient.UnknownTopicID, kafkaclient.GroupIDNotFound}

// explain says an error in a sentence, what to do about it, and with which
// code to exit.
func explain(err error) (message, hint string, code int) {
	var usage usageError
	var own hinted
	var answer *kafkaclient.Error
	switch {
	case errors.As(err, &own):
		return err.Error(), own.hint, own.code
	case errors.As(err, &usage):
		return err.Error(), fmt.Sprintf("'%s --help' tells more", usage.command), exitUsage
	case errors.As(err, &answer):
		code = exitRefused
		if slices.Contains(missing, answer.Code) {
			code = exitNotFound
		}
		return err.Error(), hints[answer.Code], code
	case distrusted(err) != "":
		return err.Error(), distrusted(err), exitUnreachable
	case errors.Is(err, kafkaclient.ErrUnreachable):
		return err.Error(), "'polylog serve' starts a server; --brokers or " + brokersEnv + " names another one", exitUnreachable
	case errors.Is(err, context.DeadlineExceeded):
		return "the server did not answer in time", "--timeout gives it longer", exitUnreachable
	}
	return err.Error(), "", exitFailed
}
