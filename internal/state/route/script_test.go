package route

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/script"
)

// world is a state under test, beside topics that exist.
type world struct {
	t      *testing.T
	s      *State
	topics map[string]record.TopicID
	last   record.TopicID
	logged []byte
	cut    map[string][]byte
}

func newWorld(t *testing.T) *world {
	return &world{t: t, s: New(), topics: map[string]record.TopicID{}, cut: map[string][]byte{}}
}

func (w *world) TopicID(tenant, name string) record.TopicID { return w.topics[tenant+"/"+name] }

// fieldsOf reads fields: name=i:5, s:text, t:true, d:1.5, V: (void), x:bytes.
func fieldsOf(t *testing.T, fields []string) Table {
	t.Helper()
	var out []byte
	for _, f := range fields {
		name, rest, _ := strings.Cut(strings.TrimSpace(f), "=")
		kind, value, _ := strings.Cut(rest, ":")
		switch kind {
		case "s":
			out = AppendText(out, name, value)
		case "i":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				t.Fatalf("%q: %v", f, err)
			}
			out = AppendInteger(out, name, n)
		case "b":
			n, _ := strconv.Atoi(value)
			out = append(appendName(out, name), TypeInt8, byte(n))
		case "t":
			v := byte(0)
			if value == "true" {
				v = 1
			}
			out = append(appendName(out, name), TypeBool, v)
		case "d":
			out = append(appendName(out, name), TypeDouble)
			v, _ := hex.DecodeString(value)
			out = append(out, v...)
		case "V":
			out = append(appendName(out, name), TypeVoid)
		case "x":
			out = AppendText(out, name, value)
			out[len(out)-len(value)-5] = TypeBytes
		case "raw":
			raw, err := hex.DecodeString(value)
			if err != nil {
				t.Fatalf("%q: %v", f, err)
			}
			out = append(out, raw...)
		default:
			t.Fatalf("a field %q", f)
		}
	}
	return out
}

// apply logs a command, reads it back and applies it.
func (w *world) apply(cmd Command) string {
	w.logged = cmd.AppendTo(nil)
	again, err := DecodeCommand(w.logged)
	if err != nil {
		w.t.Fatalf("decoding %+v: %v", cmd, err)
	}
	r, err := w.s.Apply(again, w)
	switch {
	case err != nil:
		return "refused: " + err.Error()
	case r.Incarnation > 0:
		return fmt.Sprintf("incarnation %d", r.Incarnation)
	case r.Created:
		return "created"
	}
	return "ok"
}

func (w *world) ends(c *script.Command) Ends {
	return Ends{
		Tenant: c.Str("tenant", ""), Source: c.Args[0], Destination: c.Args[1], ToExchange: c.Str("to", "") == "exchange",
		Key: c.Str("key", ""), Arguments: fieldsOf(w.t, c.Body),
	}
}

func (w *world) run(c *script.Command) string {
	switch c.Name {
	case "topic":
		for _, name := range c.Args {
			w.last++
			w.topics[c.Str("tenant", "")+"/"+name] = w.last
		}
		return ""
	case "gone":
		key := c.Str("tenant", "") + "/" + c.Args[0]
		w.s.TopicGone(w.topics[key])
		delete(w.topics, key)
		return ""
	case "tenant":
		return w.apply(&PutTenant{c.Args[0], TenantInfo{Description: c.Str("description", ""), QueueType: c.Str("type", "")}})
	case "delete-tenant":
		return w.apply(&DeleteTenant{strings.TrimPrefix(c.Args[0], "/")})
	case "exchange":
		flags := c.Str("flags", "durable")
		return w.apply(&DeclareExchange{
			Tenant: c.Str("tenant", ""), Name: strings.Trim(c.Args[0], `"`), Type: c.Args[1], Durable: strings.Contains(flags, "durable"),
			AutoDelete: strings.Contains(flags, "auto"), Internal: strings.Contains(flags, "internal"),
			Home: Owner{Node: record.NodeID(c.Int("node", 1)), Incarnation: uint64(c.Int("incarnation", 1))}, Arguments: fieldsOf(w.t, c.Body),
		})
	case "delete":
		return w.apply(&DeleteExchange{c.Str("tenant", ""), c.Args[0], c.Str("if", "") == "unused"})
	case "bind":
		return w.apply(&Bind{w.ends(c)})
	case "unbind":
		return w.apply(&Unbind{w.ends(c)})
	case "start":
		return w.apply(&StartNode{record.NodeID(c.Int("node", 1))})
	case "policy":
		return w.apply(&PutPolicy{Policy{
			Tenant: c.Str("tenant", ""), Name: c.Args[0], Pattern: c.Args[1], ApplyTo: c.Str("to", "all"),
			Priority: int32(c.Int("priority", 0)), Operator: c.Str("of", "") == "operator", Definition: fieldsOf(w.t, c.Body),
		}})
	case "delete-policy":
		return w.apply(&DeletePolicy{c.Str("tenant", ""), c.Args[0], c.Str("of", "") == "operator"})
	case "policies":
		user, operator := w.s.QueuePolicies(c.Str("tenant", ""), c.Args[0], &Queue{Arguments: fieldsOf(w.t, c.Body)})
		name := func(p *Policy) string {
			if p == nil {
				return "none"
			}
			return p.Name
		}
		return name(user) + ", of the operator " + name(operator)
	case "logged":
		return hex.EncodeToString(w.logged)
	case "page":
		w.cutNow()
		return w.page(c.Args[0])
	case "restart":
		w.restart()
		return ""
	case "route":
		return w.route(c)
	case "route-all":
		return w.targets("", c.Args[0], c.Args[1], nil, c.Args[2:]...)
	case "show":
		return w.show(c.Str("tenant", ""))
	}
	w.t.Fatalf("line %d: no command %q", c.Line, c.Name)
	return ""
}

// route asks about one key, or about several, one a line.
func (w *world) route(c *script.Command) string {
	var headers Table
	keys := c.Args[1:]
	if len(c.Body) > 0 {
		headers = fieldsOf(w.t, c.Body)
	}
	if len(keys) == 0 {
		keys = []string{""}
	}
	var out strings.Builder
	for _, key := range keys {
		fmt.Fprintf(&out, "%s: %s\n", key, w.targets(c.Str("tenant", ""), c.Args[0], strings.Trim(key, `"`), headers))
	}
	return out.String()
}

// targets asks where a message with these keys goes.
func (w *world) targets(tenant, exchange, key string, headers Table, more ...string) string {
	var f Found
	for _, key := range more {
		f.More = append(f.More, []byte(key))
	}
	if err := w.s.Snapshot().Lookup(&f, tenant, []byte(exchange), []byte(key), headers); err != nil {
		return "refused: " + err.Error()
	}
	var names []string
	for _, d := range f.Dests {
		names = append(names, w.name(d))
	}
	slices.Sort(names)
	for what, is := range map[string]bool{"(delayed)": f.Delays, "(varies)": f.Varies, "(by name)": f.ByName} {
		if is {
			names = append(names, what)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (w *world) name(d Dest) string {
	if d.Exchange != 0 {
		return "exchange " + w.s.exchanges[d.Exchange].Name
	}
	for name, id := range w.topics {
		if id == d.Topic {
			_, name, _ = strings.Cut(name, "/")
			return name
		}
	}
	return fmt.Sprintf("topic %d, which is gone", d.Topic)
}

func (w *world) show(tenant string) string {
	var out strings.Builder
	for _, x := range w.s.Snapshot().Exchanges(tenant) {
		if Reserved(x.Name) && len(w.s.from[x.ID]) == 0 {
			continue
		}
		fmt.Fprintf(&out, "%d %s %s", x.ID, x.Name, x.Type)
		for _, f := range []struct {
			name string
			on   bool
		}{{"durable", x.Durable}, {"auto-delete", x.AutoDelete}, {"internal", x.Internal}, {"alternate=" + x.Alternate, x.HasAlternate}} {
			if f.on {
				out.WriteString(" " + f.name)
			}
		}
		out.WriteString("\n")
	}
	for _, b := range w.s.Bindings(tenant) {
		fmt.Fprintf(&out, "%d %s -> %s %q", b.Number, w.s.exchanges[b.Source].Name, w.name(b.Dest), b.Key)
		if len(b.Arguments) > 0 {
			fmt.Fprintf(&out, " %x", []byte(b.Arguments))
		}
		out.WriteString("\n")
	}
	return out.String()
}

// cutNow takes the pages that changed since the last cut.
func (w *world) cutNow() {
	w.s.Freeze()
	w.s.EncodePages(func(key, value []byte) {
		if value == nil {
			delete(w.cut, string(key))
			return
		}
		w.cut[string(key)] = value
	}, func() bool { return true })
}

func (w *world) page(kind string) string {
	var out strings.Builder
	for _, key := range slices.Sorted(maps.Keys(w.cut)) {
		if strings.HasPrefix(key, kind) {
			fmt.Fprintf(&out, "%x %x\n", key, w.cut[key])
		}
	}
	return out.String()
}

// restart goes on with what a checkpoint has kept, whose pages come in any
// order.
func (w *world) restart() {
	before := map[string]string{}
	for _, t := range w.s.Tenants() {
		before[t.Name] = w.show(t.Name)
	}
	w.cutNow()
	s := New()
	for key, value := range w.cut {
		if err := s.RestorePage([]byte(key), value); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := s.Restored(); err != nil {
		w.t.Fatal(err)
	}
	w.s = s
	for name, want := range before {
		if got := w.show(name); got != want {
			w.t.Fatalf("after a restart tenant %q is\n%s\nand was\n%s", name, got, want)
		}
	}
	if len(w.s.Tenants()) != len(before) {
		w.t.Fatalf("%d tenants after a restart, %d before", len(w.s.Tenants()), len(before))
	}
}

func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func(t *testing.T) func(*script.Command) string { return newWorld(t).run })
}
