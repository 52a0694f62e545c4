package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/admin"
	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/cli"
	"github.com/polylog-mq/polylog/internal/config"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/server"
)

// polylog runs command lines against a server of this process.
type polylog struct {
	t    *testing.T
	http string
	s    *server.Server
}

func start(t *testing.T) *polylog {
	t.Helper()
	c := config.Default()
	c.Data.Dir, c.Data.Shards, c.Kafka.Listen, c.AMQP.Listen, c.HTTP.Listen = "data", 2, "127.0.0.1:0", "", "127.0.0.1:0"
	s, err := server.Start(t.Context(), server.Options{Config: c, FS: vfs.NewMem(), HTTP: admin.New})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return &polylog{t, s.HTTPAddress(), s}
}

// run runs a command and returns what it said.
func (p *polylog) run(in string, args ...string) (out, errs string, code int) {
	p.t.Helper()
	var o, e bytes.Buffer
	app := &cli.App{In: strings.NewReader(in), Out: &o, Err: &e, Environ: []string{"POLYLOG_HTTP=" + p.http}}
	code = app.Run(p.t.Context(), args)
	return o.String(), e.String(), code
}

// want runs a command, given as one line, that must succeed and say something.
func (p *polylog) want(line, in string, want ...string) {
	p.t.Helper()
	out, errs, code := p.run(in, strings.Fields(line)...)
	if code != 0 {
		p.t.Fatalf("polylog %s: exit %d, %s", line, code, errs)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			p.t.Errorf("polylog %s: no %q in\n%s", line, w, out)
		}
	}
}

func (p *polylog) publish(queue, value string) {
	p.t.Helper()
	p.publishLater(queue, value, 0)
}

// publishLater publishes with a delay in ms.
func (p *polylog) publishLater(queue, value string, delay int64) {
	p.t.Helper()
	var b record.Builder
	b.Reset(record.Template(record.None))
	b.Add(record.Record{Timestamp: 1_700_000_000_000, Value: []byte(value)})
	batch, err := b.AppendTo(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	done := make(chan error)
	to := p.s.Broker().Queue("/", queue)
	p.s.Broker().Publish(&broker.Publish{Batch: batch, Targets: []*broker.Queue{to}, Facts: broker.Facts{Delay: delay}, Done: func(x *broker.Publish) { done <- x.Err }})
	if err := <-done; err != nil {
		p.t.Fatal(err)
	}
}

// TestDefinitionsByCommandLine works with queues, exchanges, bindings, vhosts and
// users by the command line alone.
func TestDefinitionsByCommandLine(t *testing.T) {
	p := start(t)
	p.want("queue list -o json", "", "[]\n")
	p.want("queue create dead a//b", "", "queue dead created\nqueue a//b created\n")
	p.want("queue create work --dead-letter-queue dead --max-priority 5 --ttl 1h -a x-overflow=drop-head", "", "queue work created")
	p.want("queue describe work -o yaml", "", "x-dead-letter-routing-key: dead", "x-message-ttl: 3600000", "x-overflow: drop-head", "durable: true")
	p.want("exchange create orders --type topic", "", "exchange orders created")
	p.want("binding create orders work dead --key order.#", "", "queue work bound\nqueue dead bound\n")
	p.want("binding create amq.fanout orders --to-exchange", "", "exchange orders bound")
	p.want("binding list", "", "orders       work          queue      order.#", "amq.fanout   orders        exchange")
	p.want("binding delete orders dead --key order.#", "", "queue dead unbound")
	p.want("exchange list", "", "(default)", "amq.topic", "orders               topic")
	p.want("exchange describe orders", "", "durable")
	p.publish("dead", "one")
	p.publish("dead", "two\nlines")
	p.want("queue list -o wide", "", "dead   2", "durable", `"x-max-priority":5`)
	p.want("queue peek dead -n 5 -o wide", "", "0        2023-11-14T22:13:20Z", `"two\nlines"`)
	p.want("queue redrive dead --to work -n 1", "", "1 message moved from queue dead to work")
	p.want("queue redrive dead --to work", "", "1 message moved")
	p.want("queue purge work", "", "queue work purged of 2 messages")
	p.want("queue delete work a//b", "", "queue work deleted, with 0 messages\nqueue a//b deleted")
	p.want("queue create later", "")
	p.publishLater("later", "tomorrow", 86_400_000)
	p.publishLater("later", "the day after", 2*86_400_000)
	p.want("schedule list later", "", "OFFSET   AT", "\n0        2", "\n1        2")
	p.want("schedule now later 1", "", "message 1 of queue later delivered")
	p.want("schedule cancel later 0", "", "message 0 of queue later cancelled")
	p.want("schedule list later -o json", "", "[]\n")
	p.want("queue peek later", "", "the day after")
	p.want("policy set short ^dea max-length=5 retry-first-ms=100", "", "policy short set")
	p.want("policy list", "", `short   ^dea      queues     0          {"max-length":5,"retry-first-ms":100}`)
	p.want("policy delete short", "", "policy short deleted")
	p.want("policy set all .* max-length=9 --operator --priority 2", "", "policy all set")
	p.want("policy list --operator", "", "all    .*        queues     2")
	p.want("exchange delete orders", "", "exchange orders deleted")
	p.want("vhost create acme --description customers", "", "vhost acme created")
	p.want("vhost list", "", "acme   customers")
	p.want("queue create q --vhost acme --transient", "", "queue q created")
	p.want("queue list --vhost acme", "", "q      0")
	p.want("user create app --tag monitoring", "secret\n", "user app created")
	p.want("permission set app --vhost acme --configure ^app-", "", "permissions of user app set in vhost acme")
	p.want("permission list", "", "app     acme    ^app-       .*      .*")
	p.want("user list", "", "app     monitoring      acme")
	if !p.s.Broker().Authenticate("app", "secret", false) {
		t.Error("the user cannot log in")
	}
	p.want("permission clear app --vhost acme", "", "cleared")
	p.want("user delete app", "", "user app deleted")
	p.want("vhost delete acme", "", "vhost acme deleted")
}

// TestRefusalsByCommandLine is about what goes wrong, and with which exit code.
func TestRefusalsByCommandLine(t *testing.T) {
	p := start(t)
	p.want("queue create dead later", "")
	for _, c := range []struct {
		line string
		code int
		want string
	}{
		{"queue describe none", 4, "no queue 'none' in vhost '/'"},
		{"queue list --vhost none", 4, "no vhost 'none'"},
		{"queue create dead --max-length 5", 5, "inequivalent arg 'x-max-length' for queue 'dead' in vhost '/'"},
		{"queue create x -a y", 2, "is not name=value"},
		{"queue redrive dead", 2, "--to says"},
		{"exchange create amq.x", 5, "reserved"},
		{"binding create none dead", 4, "no exchange 'none'"},
		{"schedule now later 7", 4, "is not scheduled"},
		{"schedule now later x", 2, "is no offset"},
		{"policy set p ( max-length=5", 5, "the pattern"},
		{"policy set p x max-lenght=5", 5, "'max-lenght' is not a recognised policy setting"},
		{"policy delete none", 4, "policy 'none' not found"},
		{"user create nobody", 2, "the input has no password"},
		{"user list --user app:wrong", 5, "wrong name or password"},
		{"queue list --http 127.0.0.1:1", 3, "polylog serve"},
	} {
		if _, errs, code := p.run("", strings.Fields(c.line)...); code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("polylog %s: exit %d, %s; want %d, %s", c.line, code, errs, c.code, c.want)
		}
	}
}

// TestDefinitionsTravel exports the definitions of one server and imports them
// into another.
func TestDefinitionsTravel(t *testing.T) {
	from, to := start(t), start(t)
	from.want("vhost create blue", "")
	from.want("exchange create x --type topic --vhost blue", "")
	from.want("policy set p ^q max-length=9 --vhost blue", "")
	file := filepath.Join(t.TempDir(), "definitions.json")
	from.want("definitions export "+file, "")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with hashes of passwords: %v, %v", info, err)
	}
	to.want("definitions import "+file, "", "imported")
	to.want("definitions import "+file, "", "imported") // again: nothing to do
	to.want("exchange describe x --vhost blue", "", "topic")
	to.want("definitions export --vhost blue", "", `"name": "x"`, `"max-length": 9`)
	_, errs, code := to.run(`{"parameters":[{"vhost":"/","component":"shovel","name":"s","value":{}}]}`, "definitions", "import", "-")
	if code != 5 || !strings.Contains(errs, "shovel 's' in vhost '/'") {
		t.Errorf("exit %d, %s", code, errs)
	}
	to.want("definitions import - --skip-unsupported", `{"parameters":[{"vhost":"/","component":"shovel","name":"s","value":{}}]}`)
	for want, args := range map[string][]string{
		"is not JSON":  {"definitions", "import", "-"},
		"no such file": {"definitions", "import", "nowhere.json"},
		"Login failed": {"definitions", "export", "-u", "guest:wrong"},
	} {
		if _, errs, code := to.run("{", args...); code == 0 || !strings.Contains(errs, want) {
			t.Errorf("polylog %s: exit %d, %s", strings.Join(args, " "), code, errs)
		}
	}
}
