package amqp

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/state/access"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the generated parts of docs/protocol/amqp.md")

func TestTableIsSound(t *testing.T) {
	if !slices.IsSortedFunc(methods, func(a, b row) int { return int(a.id) - int(b.id) }) {
		t.Error("the table is not ordered by id")
	}
	seen := map[wire.ID]bool{}
	for i := range methods {
		r := &methods[i]
		if seen[r.id] || wire.New(r.id) == nil {
			t.Errorf("%s occurs twice, or does not exist", r.id)
		}
		seen[r.id] = true
		if (r.connection == nil) == (r.channel == nil) && r.id != wire.IDChannelOpen {
			t.Errorf("%s has no handler, or two", r.id)
		}
		touches := strings.HasPrefix(r.id.String(), "exchange.") || strings.HasPrefix(r.id.String(), "queue.")
		if touches && len(r.needs) == 0 {
			t.Errorf("%s needs no permission", r.id)
		}
	}
}

// forbid refuses one action on one type of resource.
type forbid permission

func (f forbid) Authorize(_ access.Principal, a access.Action, r access.Resource) error {
	if a == f.action && r.Type == f.on {
		return access.ErrDenied
	}
	return nil
}

// TestPermissions: a method without one of the permissions that its row lists
// is refused, and no other permission is asked for.
func TestPermissions(t *testing.T) {
	b := openBroker(t)
	name := []byte("q")
	dead := wire.Table(nil).AppendString("x-dead-letter-exchange", "d")
	alternate := wire.Table(nil).AppendString("alternate-exchange", "d")
	examples := map[wire.ID][]wire.Method{
		wire.IDExchangeDeclare: {&wire.ExchangeDeclare{Exchange: name, Type: []byte("fanout"), Arguments: alternate}},
		wire.IDExchangeDelete:  {&wire.ExchangeDelete{Exchange: name}},
		wire.IDExchangeBind:    {&wire.ExchangeBind{Source: name, Destination: name}},
		wire.IDExchangeUnbind:  {&wire.ExchangeUnbind{Source: name, Destination: name}},
		wire.IDQueueDeclare:    {&wire.QueueDeclare{Queue: name, Arguments: dead}, &wire.QueueDeclare{Queue: name, Passive: true}},
		wire.IDQueueBind:       {&wire.QueueBind{Queue: name, Exchange: name}},
		wire.IDQueueUnbind:     {&wire.QueueUnbind{Queue: name, Exchange: name}},
		wire.IDQueuePurge:      {&wire.QueuePurge{Queue: name}},
		wire.IDQueueDelete:     {&wire.QueueDelete{Queue: name}},
		wire.IDBasicConsume:    {&wire.BasicConsume{Queue: name}},
		wire.IDBasicGet:        {&wire.BasicGet{Queue: name}},
		wire.IDBasicPublish:    {&wire.BasicPublish{Exchange: []byte("none")}},
	}
	for i := range methods {
		r := &methods[i]
		for a := access.Produce; a <= access.Replay; a++ {
			for _, on := range []access.Type{access.Topic, access.Exchange} {
				refused := false
				for _, m := range examples[r.id] {
					p := open(t, server(t, b, forbid{a, on}))
					p.channel(1)
					p.raw(append(wire.AppendMethod(nil, 1, m), contentOf(m)...))
					f, ok := p.next(false)
					if id, args, _ := wire.SplitMethod(f.Payload); ok && id == wire.IDChannelClose {
						var c wire.ChannelClose
						if err := wire.Parse(&c, args); err != nil {
							t.Fatal(err)
						}
						refused = refused || c.ReplyCode == uint16(codeAccessRefused) && bytes.Contains(c.ReplyText, []byte("refused for user 'guest'"))
					}
				}
				if want := slices.Contains(r.needs, permission{a, on}); refused != want {
					t.Errorf("%s without %s %s: refused is %v", r.id, a, on, refused)
				}
			}
		}
	}
}

func contentOf(m wire.Method) []byte {
	if m.ID() != wire.IDBasicPublish {
		return nil
	}
	return wire.AppendContentHeader(nil, 1, 0, &wire.Properties{})
}

const matrixFile = "../../../docs/protocol/amqp.md"

// TestSupportMatrix holds the tables in the documentation against those in the
// program. Run with -rewrite to bring them up to date.
func TestSupportMatrix(t *testing.T) {
	doc, err := os.ReadFile(matrixFile)
	if err != nil {
		t.Fatal(err)
	}
	out := doc
	for _, part := range []struct{ file, want string }{{"api.go", matrix()}, {"arguments.go", argumentTable()}} {
		begin := fmt.Sprintf("<!-- generated from internal/protocol/amqp/%s: begin -->\n", part.file)
		end := fmt.Sprintf("<!-- generated from internal/protocol/amqp/%s: end -->\n", part.file)
		head, rest, ok1 := bytes.Cut(out, []byte(begin))
		_, tail, ok2 := bytes.Cut(rest, []byte(end))
		if !ok1 || !ok2 {
			t.Fatalf("%s has lost the marks around its part from %s", matrixFile, part.file)
		}
		out = slices.Concat(head, []byte(begin), []byte(part.want), []byte(end), tail)
	}
	if bytes.Equal(out, doc) {
		return
	}
	if !*rewrite {
		t.Fatalf("%s is out of date: go test ./internal/protocol/amqp -run SupportMatrix -rewrite", matrixFile)
	}
	if err := os.WriteFile(matrixFile, out, 0o644); err != nil {
		t.Fatal(err)
	}
}

func matrix() string {
	var b strings.Builder
	b.WriteString("\n| Id | Method | Permissions |\n|---|---|---|\n")
	for _, r := range methods {
		needs := make([]string, 0, len(r.needs))
		for _, p := range r.needs {
			needs = append(needs, fmt.Sprintf("%s %s", p.action, strings.Replace(p.on.String(), "topic", "queue", 1)))
		}
		fmt.Fprintf(&b, "| %d, %d | %s | %s |\n", r.id.Class(), r.id.Number(), r.id, strings.Join(needs, ", "))
	}
	return b.String() + "\n"
}

func argumentTable() string {
	var b strings.Builder
	b.WriteString("\n| Argument | Values | Meaning |\n|---|---|---|\n")
	for _, a := range arguments {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", a.name, a.values, a.means)
	}
	return b.String() + "\n"
}
