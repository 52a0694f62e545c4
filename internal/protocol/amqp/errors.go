package amqp

import (
	"errors"
	"fmt"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// code is a reply code of the protocol.
type code uint16

// The reply codes (AMQP 0-9-1 §1.2, constants).
const (
	codeSuccess            code = 200
	codeNoRoute            code = 312
	codeConnectionForced   code = 320
	codeInvalidPath        code = 402
	codeAccessRefused      code = 403
	codeNotFound           code = 404
	codeResourceLocked     code = 405
	codePreconditionFailed code = 406
	codeFrameError         code = 501
	codeSyntaxError        code = 502
	codeCommandInvalid     code = 503
	codeChannelError       code = 504
	codeUnexpectedFrame    code = 505
	codeResourceError      code = 506
	codeNotAllowed         code = 530
	codeNotImplemented     code = 540
	codeInternalError      code = 541
)

// replyCodes says of each code how its text begins, and whether it ends the
// connection or only the channel.
var replyCodes = map[code]struct {
	name string
	hard bool
}{
	codeNoRoute:            {"NO_ROUTE", false},
	codeConnectionForced:   {"CONNECTION_FORCED", true},
	codeInvalidPath:        {"INVALID_PATH", true},
	codeAccessRefused:      {"ACCESS_REFUSED", false},
	codeNotFound:           {"NOT_FOUND", false},
	codeResourceLocked:     {"RESOURCE_LOCKED", false},
	codePreconditionFailed: {"PRECONDITION_FAILED", false},
	codeFrameError:         {"FRAME_ERROR", true},
	codeSyntaxError:        {"SYNTAX_ERROR", true},
	codeCommandInvalid:     {"COMMAND_INVALID", true},
	codeChannelError:       {"CHANNEL_ERROR", true},
	codeUnexpectedFrame:    {"UNEXPECTED_FRAME", true},
	codeResourceError:      {"RESOURCE_ERROR", true},
	codeNotAllowed:         {"NOT_ALLOWED", true},
	codeNotImplemented:     {"NOT_IMPLEMENTED", true},
	codeInternalError:      {"INTERNAL_ERROR", true},
}

// fault is an error that the client is told: by closing its channel, or its
// connection.
type fault struct {
	code code
	text string // without the code's name
	hard bool
}

// Error returns the text as the client reads it.
func (f *fault) Error() string { return replyCodes[f.code].name + " - " + f.text }

// refuse makes a fault whose reach is the usual one of its code.
func refuse(c code, format string, args ...any) *fault {
	return &fault{code: c, text: fmt.Sprintf(format, args...), hard: replyCodes[c].hard}
}

// refuseConnection makes a fault that ends the connection.
func refuseConnection(c code, format string, args ...any) *fault {
	f := refuse(c, format, args...)
	f.hard = true
	return f
}

// codes maps what the floors below answer to the protocol's codes. The first row
// that matches counts. Where RabbitMQ has a text of its own for a method, the
// method's file says it.
var codes = []struct {
	err  error
	code code
}{
	{wire.ErrFrameTooLarge, codeFrameError},
	{wire.ErrFrameEnd, codeFrameError},
	{wire.ErrMalformed, codeFrameError},

	{access.ErrDenied, codeAccessRefused},

	{broker.ErrUnknownQueue, codeNotFound},
	{broker.ErrUnknownExchange, codeNotFound},
	{broker.ErrUnknownTenant, codeNotAllowed},
	{broker.ErrUnknownExchangeType, codePreconditionFailed},
	{broker.ErrInternalExchange, codeAccessRefused},
	{broker.ErrReserved, codeAccessRefused},
	{broker.ErrExclusive, codeAccessRefused},
	{broker.ErrLocked, codeResourceLocked},
	{broker.ErrInvalidArgument, codePreconditionFailed},
	{broker.ErrNotEquivalent, codePreconditionFailed},
	{broker.ErrInUse, codePreconditionFailed},
	{broker.ErrNotEmpty, codePreconditionFailed},
	{broker.ErrNotQueue, codePreconditionFailed},
	{broker.ErrInvalidTopic, codePreconditionFailed},
	{broker.ErrInvalidConfig, codePreconditionFailed},
	{broker.ErrPolicy, codePreconditionFailed},
	{broker.ErrTooLarge, codePreconditionFailed},
	{record.ErrTooLarge, codePreconditionFailed},

	{broker.ErrClosed, codeConnectionForced},
	{broker.ErrBusy, codeResourceError},
	{broker.ErrDiskFull, codeResourceError},
}

// faultOf returns what the client is told of an error.
func faultOf(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	for i := range codes {
		if errors.Is(err, codes[i].err) {
			return refuse(codes[i].code, "%v", err)
		}
	}
	return refuse(codeInternalError, "%v", err)
}
