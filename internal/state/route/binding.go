package route

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/polylog-mq/polylog/internal/record"
)

// Dest is where a binding leads: to a topic (a queue is one) or to an exchange;
// the other is 0.
type Dest struct {
	Topic    record.TopicID
	Exchange ID
}

// Binding is a binding. It never changes.
type Binding struct {
	// Number counts the bindings ever made.
	Number uint64
	Source ID
	Dest   Dest
	Key    string
	// Arguments are those of the bind, byte for byte. Read only.
	Arguments Table

	pattern pattern // of headers exchanges
	weight  int     // of consistent hashing
}

func (b *Binding) key() bindingKey {
	return bindingKey{b.Source, b.Dest, b.Key, string(b.Arguments)}
}

// bindingKey is what makes two bindings the same.
type bindingKey struct {
	source    ID
	dest      Dest
	key       string
	arguments string
}

// interpret fills in what key and arguments mean to an exchange of a kind, or
// refuses them.
func (b *Binding) interpret(k Kind) error {
	if len(b.Key) > MaxKeyLen {
		return fmt.Errorf("%w: the routing key is longer than %d bytes", ErrInvalidArgument, MaxKeyLen)
	}
	if len(b.Arguments) > MaxTableLen {
		return fmt.Errorf("%w: the arguments are longer than %d bytes", ErrInvalidArgument, MaxTableLen)
	}
	if err := b.Arguments.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidArgument, err)
	}
	var err error
	switch k {
	case Headers:
		b.pattern, err = newPattern(b.Arguments)
	case Hash:
		b.weight, err = newWeight(b.Key)
	case Topic:
		if n := strings.Count(b.Key, "#"); n > MaxHashes {
			err = fmt.Errorf("%w: more than %d '#' in '%s'", ErrInvalidArgument, MaxHashes, b.Key)
		}
	}
	return err
}

// newWeight reads the key of a binding of consistent hashing.
func newWeight(key string) (int, error) {
	n, err := strconv.Atoi(key)
	switch {
	case key == "":
		return 0, refuse(ErrInvalidArgument, "The binding key must be an integer: <<>>")
	case err != nil:
		return 0, refuse(ErrInvalidArgument, "The binding key must be an integer: <<%q>>", key)
	case n < 1:
		return 0, refuse(ErrInvalidArgument, "The binding key must be greater than 0")
	case n > MaxWeight:
		return 0, refuse(ErrInvalidArgument, "The binding key must be %d at most", MaxWeight)
	}
	return n, nil
}

// pattern is what a binding to a headers exchange asks for.
type pattern struct {
	any    bool // one field suffices
	fields []field
}

type field struct {
	name  []byte
	value Value
}

// newPattern reads the arguments of a binding: x-match says whether all of the
// other fields must match or any, and whether those count whose names begin with
// "x-". The default is all, without them.
func newPattern(args Table) (pattern, error) {
	var p pattern
	withX := false
	if v, ok := args.Lookup("x-match"); ok {
		how, ok := v.Text()
		if !ok {
			return p, fmt.Errorf("%w: the value of x-match must be a text", ErrInvalidArgument)
		}
		switch how {
		case "all":
		case "any":
			p.any = true
		case "all-with-x":
			withX = true
		case "any-with-x":
			p.any, withX = true, true
		default:
			return p, refuse(ErrInvalidArgument, "Invalid x-match field value %q; expected all, any, all-with-x, or any-with-x", how)
		}
	}
	for name, v := range args.All() {
		if string(name) == "x-match" || !withX && bytes.HasPrefix(name, xPrefix) {
			continue
		}
		p.fields = append(p.fields, field{name, v})
	}
	return p, nil
}

var xPrefix = []byte("x-")

// matches compares headers as RabbitMQ does: by value, whatever the type; a
// field without a value matches whatever there is.
func (p *pattern) matches(headers Table) bool {
	for i := range p.fields {
		f := &p.fields[i]
		v, ok := headers.lookup(f.name)
		ok = ok && (f.value.Type == TypeVoid || f.value.Equal(v))
		if ok == p.any {
			return p.any
		}
	}
	return !p.any
}
