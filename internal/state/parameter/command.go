package parameter

import (
	"fmt"
	"math"

	"github.com/polylog-mq/polylog/internal/codec"
)

// Command is a command of the metadata group: *Put or *Delete.
type Command interface {
	// AppendTo appends the logged form, to be read by DecodeCommand.
	AppendTo(dst []byte) []byte
	command()
}

// Put sets a parameter. ErrInvalid, ErrTooMany.
type Put struct{ Parameter }

// Delete takes one away. ErrUnknown.
type Delete struct{ Key }

func (*Put) command()    {}
func (*Delete) command() {}

// The first byte of a logged command. They are part of the log's format: never
// change one, and give a new form a new number.
const (
	kindPut    = 1
	kindDelete = 2
)

func (k *Key) appendTo(dst []byte) []byte {
	for _, text := range [...]string{k.Component, k.Tenant, k.Name} {
		dst = codec.AppendBytes(dst, text)
	}
	return dst
}

func readKey(r *codec.Reader) Key {
	return Key{r.String(math.MaxInt32), r.String(math.MaxInt32), r.String(math.MaxInt32)}
}

// AppendTo implements Command.
func (c *Put) AppendTo(dst []byte) []byte {
	return codec.AppendBytes(c.appendTo(append(dst, kindPut)), c.Value)
}

// AppendTo implements Command.
func (c *Delete) AppendTo(dst []byte) []byte { return c.appendTo(append(dst, kindDelete)) }

// DecodeCommand reads what AppendTo of a command wrote, whatever its fields
// hold: a client's nonsense is refused by Apply, on every replica alike, and must
// not look like damage to the log. It keeps nothing of b.
func DecodeCommand(b []byte) (Command, error) {
	r := codec.NewReader(b)
	var cmd Command
	switch kind := r.Byte(); kind {
	case kindPut:
		cmd = &Put{Parameter{readKey(&r), append([]byte{}, r.Bytes(math.MaxInt32)...)}}
	case kindDelete:
		cmd = &Delete{readKey(&r)}
	default:
		r.Fail("command kind %d", kind)
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("decoding a command about parameters: %w", err)
	}
	return cmd, nil
}
