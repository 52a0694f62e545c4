package access

import (
	"fmt"
	"math"

	"github.com/polylog-mq/polylog/internal/codec"
)

// Command is a command of the metadata group: *PutUser, *DeleteUser,
// *SetPermission, *ClearPermission, *SetTopicPermission or
// *ClearTopicPermission.
type Command interface {
	// AppendTo appends the logged form, to be read by DecodeCommand.
	AppendTo(dst []byte) []byte
	command()
}

// PutUser creates a user, or changes password and tags. ErrInvalidUser,
// ErrTooMany.
type PutUser struct {
	Name    string
	Hashing Hashing
	Hash    []byte
	// KeepHash leaves the password as it is.
	KeepHash bool
	Tags     []string
}

// DeleteUser deletes a user. ErrUnknownUser.
type DeleteUser struct{ Name string }

// SetPermission says what a user may do in a tenant. ErrUnknownUser,
// ErrInvalidPattern, ErrTooMany.
type SetPermission struct {
	User, Tenant           string
	Configure, Write, Read string
}

// ClearPermission takes all that a user may do in a tenant. ErrUnknownUser.
type ClearPermission struct{ User, Tenant string }

// SetTopicPermission says which routing keys a user may use at an exchange.
// ErrUnknownUser, ErrInvalidPattern, ErrTooMany.
type SetTopicPermission struct {
	User, Tenant, Exchange string
	Write, Read            string
}

// ClearTopicPermission takes such limits away: those of one exchange, or, if it
// is "", all in the tenant. ErrUnknownUser.
type ClearTopicPermission struct{ User, Tenant, Exchange string }

func (*PutUser) command()              {}
func (*DeleteUser) command()           {}
func (*SetPermission) command()        {}
func (*ClearPermission) command()      {}
func (*SetTopicPermission) command()   {}
func (*ClearTopicPermission) command() {}

// The first byte of a logged command. They are part of the log's format: never
// change one, and give a new form a new number.
const (
	kindPutUser              = 1
	kindDeleteUser           = 2
	kindSetPermission        = 3
	kindClearPermission      = 4
	kindSetTopicPermission   = 5
	kindClearTopicPermission = 6
)

func appendTexts(dst []byte, kind byte, texts ...string) []byte {
	dst = append(dst, kind)
	for _, t := range texts {
		dst = codec.AppendBytes(dst, t)
	}
	return dst
}

// AppendTo implements Command.
func (c *PutUser) AppendTo(dst []byte) []byte {
	dst = append(appendTexts(dst, kindPutUser, c.Name), byte(c.Hashing))
	dst = codec.AppendBool(codec.AppendBytes(dst, c.Hash), c.KeepHash)
	return appendTags(dst, c.Tags)
}

// AppendTo implements Command.
func (c *DeleteUser) AppendTo(dst []byte) []byte { return appendTexts(dst, kindDeleteUser, c.Name) }

// AppendTo implements Command.
func (c *SetPermission) AppendTo(dst []byte) []byte {
	return appendTexts(dst, kindSetPermission, c.User, c.Tenant, c.Configure, c.Write, c.Read)
}

// AppendTo implements Command.
func (c *ClearPermission) AppendTo(dst []byte) []byte {
	return appendTexts(dst, kindClearPermission, c.User, c.Tenant)
}

// AppendTo implements Command.
func (c *SetTopicPermission) AppendTo(dst []byte) []byte {
	return appendTexts(dst, kindSetTopicPermission, c.User, c.Tenant, c.Exchange, c.Write, c.Read)
}

// AppendTo implements Command.
func (c *ClearTopicPermission) AppendTo(dst []byte) []byte {
	return appendTexts(dst, kindClearTopicPermission, c.User, c.Tenant, c.Exchange)
}

func appendTags(dst []byte, tags []string) []byte {
	dst = codec.AppendUvarint(dst, uint(len(tags)))
	for _, t := range tags {
		dst = codec.AppendBytes(dst, t)
	}
	return dst
}

// DecodeCommand reads what AppendTo of a command wrote, whatever its fields
// hold: a client's nonsense is refused by Apply, on every replica alike, and must
// not look like damage to the log. It keeps nothing of b.
func DecodeCommand(b []byte) (Command, error) {
	r := codec.NewReader(b)
	var cmd Command
	switch kind := r.Byte(); kind {
	case kindPutUser:
		c := &PutUser{Name: readText(&r), Hashing: Hashing(r.Byte()), Hash: readHash(&r), KeepHash: r.Bool()}
		c.Tags = readTags(&r)
		cmd = c
	case kindDeleteUser:
		cmd = &DeleteUser{readText(&r)}
	case kindSetPermission:
		cmd = &SetPermission{readText(&r), readText(&r), readText(&r), readText(&r), readText(&r)}
	case kindClearPermission:
		cmd = &ClearPermission{readText(&r), readText(&r)}
	case kindSetTopicPermission:
		cmd = &SetTopicPermission{readText(&r), readText(&r), readText(&r), readText(&r), readText(&r)}
	case kindClearTopicPermission:
		cmd = &ClearTopicPermission{readText(&r), readText(&r), readText(&r)}
	default:
		r.Fail("command kind %d", kind)
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("decoding a command about users: %w", err)
	}
	return cmd, nil
}

// readText reads a string of any length that the input holds.
func readText(r *codec.Reader) string { return r.String(math.MaxInt32) }

func readHash(r *codec.Reader) []byte { return append([]byte(nil), r.Bytes(math.MaxInt32)...) }

func readTags(r *codec.Reader) []string {
	var tags []string
	for range r.Count(math.MaxInt32, 1) {
		tags = append(tags, readText(r))
	}
	return tags
}
