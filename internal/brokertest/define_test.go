package brokertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/route"
)

// targets returns the names of the queues that a message goes to, sorted.
func targets(t *testing.T, r *broker.Router, exchange, key string) string {
	t.Helper()
	routes, err := r.Route([]byte(exchange), []byte(key), nil)
	if err != nil {
		t.Fatalf("routing %s/%s: %v", exchange, key, err)
	}
	var names []string
	for _, q := range routes.Queues {
		names = append(names, q.Name())
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func bindingsOf(n *Node, tenant string) (list []broker.Binding) {
	n.tb.Helper()
	n.Bindings(tenant, func(b []broker.Binding) { list = b })
	n.Settle()
	return list
}

func TestDeclareBindRoute(t *testing.T) {
	n := Start(t, Options{})
	r := n.NewRouter("/")
	if got := targets(t, r, "", "q1"); got != "" {
		t.Errorf("a queue that does not exist: %q", got)
	}
	q, created, err := n.Declare(broker.QueueSpec{Name: "q1", Durable: true})
	if err != nil || !created || n.Queue("/", "q1") != q || n.Queue("", "q1") != q {
		t.Fatalf("declared %v %v %v", q, created, err)
	}
	n.MustDeclare("naïve queue/2")
	if got := targets(t, r, "", "q1"); got != "q1" {
		t.Errorf("the default exchange leads to %q", got)
	}
	if err := n.DeclareExchangeOf("topic", "logs"); err != nil {
		t.Fatal(err)
	}
	for _, x := range []broker.Binding{
		{Source: "logs", Destination: "q1", Key: "kern.#"},
		{Source: "logs", Destination: "naïve queue/2", Key: "*.critical"},
		{Source: "amq.fanout", Destination: "logs", ToExchange: true},
	} {
		if err := n.Binds(x); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		t.Helper()
		for _, c := range []struct{ exchange, key, want string }{
			{"logs", "kern", "q1"}, {"logs", "kern.critical", "naïve queue/2 q1"}, {"logs", "a.b", ""},
			{"amq.fanout", "kern.x.y", "q1"}, {"", "naïve queue/2", "naïve queue/2"},
		} {
			for range 2 { // found, and remembered
				if got := targets(t, r, c.exchange, c.key); got != c.want {
					t.Errorf("%s/%s leads to %q, want %q", c.exchange, c.key, got, c.want)
				}
			}
		}
	}
	check()
	n = n.Restart()
	r = n.NewRouter("")
	check()
	if list := bindingsOf(n, "/"); len(list) != 3 || list[2].Destination != "logs" || !list[2].ToExchange {
		t.Errorf("bindings: %+v", list)
	}
	if _, err := r.Route([]byte("nix"), nil, nil); !errors.Is(err, broker.ErrUnknownExchange) || err.Error() != "no exchange 'nix' in vhost '/'" {
		t.Errorf("an unknown exchange: %v", err)
	}
	if _, err := r.Route([]byte("amq.rabbitmq.trace"), nil, nil); !errors.Is(err, broker.ErrInternalExchange) {
		t.Errorf("an internal exchange: %v", err)
	}
	messages := int64(-1)
	err = n.Ask(func(done func(error)) {
		n.DeleteQueue(n.Queue("/", "q1"), true, true, func(m int64, err error) { messages = m; done(err) })
	})
	if err != nil || messages != 0 || n.Queue("/", "q1") != nil {
		t.Fatalf("deleted with %d messages: %v", messages, err)
	}
	if got := targets(t, r, "logs", "kern.critical"); got != "naïve queue/2" {
		t.Errorf("after the deletion the key leads to %q", got)
	}
	n.MustDeclare("q1")
	if got := targets(t, r, "logs", "kern.critical"); got != "naïve queue/2" {
		t.Errorf("a recreated queue has the old one's bindings: %q", got)
	}
}

func TestRedeclare(t *testing.T) {
	n := Start(t, Options{})
	args := broker.Table(route.AppendInteger(route.AppendText(nil, "x-queue-type", "classic"), "x-message-ttl", 1000))
	owner := n.OpenSession()
	declare := func(s broker.QueueSpec) error {
		s.Name = "q"
		_, created, err := n.Declare(s)
		if created {
			t.Error("created again")
		}
		return err
	}
	if _, created, err := n.Declare(broker.QueueSpec{Name: "q", Durable: true, Arguments: args}); err != nil || !created {
		t.Fatal(created, err)
	}
	for _, c := range []struct {
		spec broker.QueueSpec
		want string
	}{
		{broker.QueueSpec{Durable: true, Arguments: args}, ""},
		{broker.QueueSpec{Durable: true, Arguments: route.AppendText(route.AppendInteger(nil, "x-message-ttl", 1000), "x-else", "is ignored")}, ""},
		{broker.QueueSpec{Durable: true, Arguments: broker.Table("\x0dx-message-ttlI\x00\x00\x03\xe8")}, ""},
		{broker.QueueSpec{Arguments: args}, "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'"},
		{broker.QueueSpec{Durable: true, AutoDelete: true, Arguments: args}, "inequivalent arg 'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'"},
		{broker.QueueSpec{Durable: true}, "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received none but current is the value '1000' of type 'long'"},
		{broker.QueueSpec{Durable: true, Arguments: route.AppendInteger(nil, "x-message-ttl", 5)}, "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received '5' but current is '1000'"},
		{broker.QueueSpec{Durable: true, Arguments: route.AppendText(args, "x-overflow", "drop-head")}, "inequivalent arg 'x-overflow' for queue 'q' in vhost '/': received the value 'drop-head' of type 'longstr' but current is none"},
		{broker.QueueSpec{Durable: true, Exclusive: owner, Arguments: args}, "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."},
	} {
		err := declare(c.spec)
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
			t.Errorf("%+v: %v, want %s", c.spec, err, c.want)
		}
	}
	n.Create("topic", 2)
	if _, created, err := n.Declare(broker.QueueSpec{Name: "topic", Durable: true}); err != nil || created || len(n.QueuesOf("/", "topic")) != 2 {
		t.Errorf("the name of a topic: %v, %v, %v", created, err, n.QueuesOf("/", "topic"))
	}
	single := n.Create("single", 1)
	if q, created, err := n.Declare(broker.QueueSpec{Name: "single", Durable: true}); err != nil || created || q != n.Queue("/", "single") || q.Topic() != single {
		t.Errorf("the name of a topic of one partition: %v %v", created, err)
	}
	if _, err := n.TryCreate("q", 1); !errors.Is(err, broker.ErrTopicExists) {
		t.Errorf("a topic of a queue's name: %v", err)
	}
	if err := n.DeclareExchangeOf("direct", "x"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		spec broker.ExchangeSpec
		want string
	}{
		{broker.ExchangeSpec{Name: "x", Type: "direct", Durable: true}, ""},
		{broker.ExchangeSpec{Name: "amq.direct", Type: "direct", Durable: true}, ""},
		{broker.ExchangeSpec{Name: "x", Type: "fanout", Durable: true}, "inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct'"},
		{broker.ExchangeSpec{Name: "x", Type: "direct"}, "inequivalent arg 'durable' for exchange 'x' in vhost '/': received 'false' but current is 'true'"},
		{broker.ExchangeSpec{Name: "x", Type: "direct", Durable: true, Arguments: route.AppendText(nil, "alternate-exchange", "ae")}, "inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received the value 'ae' of type 'longstr' but current is none"},
		{broker.ExchangeSpec{Name: "amq.mine", Type: "direct"}, "exchange name 'amq.mine' contains reserved prefix 'amq.*'"},
		{broker.ExchangeSpec{Name: "", Type: "direct"}, "operation not permitted on the default exchange"},
		{broker.ExchangeSpec{Name: "y", Type: "strange"}, "unknown exchange type 'strange'"},
	} {
		if err := n.Declares(&c.spec); c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
			t.Errorf("%+v: %v, want %s", c.spec, err, c.want)
		}
	}
}

func TestExclusiveAndTransient(t *testing.T) {
	n := Start(t, Options{})
	mine, other := n.OpenSession(), n.OpenSession()
	q, _, err := n.Declare(broker.QueueSpec{Name: "mine", Durable: true, Exclusive: mine})
	if err != nil || q.Definition().Durable || !q.Definition().Exclusive {
		t.Fatal(q, err)
	}
	for _, name := range []string{"passing", "passing2"} {
		if _, _, err := n.Declare(broker.QueueSpec{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	n.MustDeclare("stays")
	if err := n.Declares(&broker.ExchangeSpec{Name: "brief", Type: "fanout"}); err != nil {
		t.Fatal(err)
	}
	if q.CheckLock(mine) != nil || !errors.Is(q.CheckLock(other), broker.ErrLocked) || !errors.Is(q.CheckLock(nil), broker.ErrLocked) {
		t.Error("the lock does not hold, or not for its owner")
	}
	bind := func(by *broker.Session) error {
		return n.Ask(func(done func(error)) {
			n.Bind(&broker.Binding{Source: "amq.direct", Destination: "mine", Key: "k"}, by, done)
		})
	}
	if err := bind(other); !errors.Is(err, broker.ErrLocked) {
		t.Errorf("bound by another: %v", err)
	}
	if err := bind(mine); err != nil {
		t.Error(err)
	}
	if _, _, err := n.Declare(broker.QueueSpec{Name: "mine", Exclusive: mine}); err != nil {
		t.Errorf("declared again by its owner: %v", err)
	}
	if n.Topic("mine") != nil || n.Topic("passing") == nil {
		t.Error("Kafka sees the exclusive queue, or not the other")
	}
	ended := false
	n.EndExclusive(mine, func() { ended = true })
	n.Settle()
	if !ended || n.Queue("/", "mine") != nil || !q.Deleted() || len(bindingsOf(n, "/")) != 0 {
		t.Error("the exclusive queue outlives its session")
	}
	if _, _, err := n.Declare(broker.QueueSpec{Name: "mine", Exclusive: other}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		n = n.Crash(false)
		n.Settle()
		<-n.Ready()
		var left []string
		for q := range n.Queues("/") {
			left = append(left, q.Name())
		}
		if !slices.Equal(left, []string{"stays"}) || n.Exchange("/", "brief") != nil {
			t.Errorf("after a restart there are %v, and %v", left, n.Exchange("/", "brief"))
		}
	}
}

func TestTenants(t *testing.T) {
	n := Start(t, Options{})
	create := func(name string) error {
		return n.Ask(func(done func(error)) {
			n.CreateTenant(name, broker.TenantInfo{Description: "d"}, func(_ bool, err error) { done(err) })
		})
	}
	if _, _, err := n.Declare(broker.QueueSpec{Tenant: "acme", Name: "q", Durable: true}); !errors.Is(err, broker.ErrUnknownTenant) {
		t.Errorf("in a tenant that does not exist: %v", err)
	}
	if err := create("acme"); err != nil {
		t.Fatal(err)
	}
	q, _, err := n.Declare(broker.QueueSpec{Tenant: "acme", Name: "q", Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	same := n.MustDeclare("q")
	if q == same || n.Queue("acme", "q") != q || n.Queue("/", "q") != same || n.Topic("q") != same.Topic() || n.TopicByID(q.Topic().UUID) != nil {
		t.Error("two tenants share a queue")
	}
	if err := n.Binds(broker.Binding{Tenant: "acme", Source: "amq.direct", Destination: "q", Key: "k"}); err != nil {
		t.Fatal(err)
	}
	if got := targets(t, n.NewRouter("acme"), "amq.direct", "k"); got != "q" {
		t.Errorf("in the tenant the key leads to %q", got)
	}
	if got := targets(t, n.NewRouter("/"), "amq.direct", "k"); got != "" {
		t.Errorf("in the default tenant the key leads to %q", got)
	}
	n = n.Restart()
	if got := slices.Collect(n.Tenants()); !slices.Equal(got, []string{"/", "acme"}) {
		t.Errorf("tenants: %v", got)
	}
	if err := n.Ask(func(done func(error)) { n.DeleteTenant("/", done) }); !errors.Is(err, broker.ErrDefaultTenant) {
		t.Errorf("deleting the default tenant: %v", err)
	}
	if err := n.Ask(func(done func(error)) { n.DeleteTenant("acme", done) }); err != nil {
		t.Fatal(err)
	}
	if n.Tenant("acme") || n.Queue("acme", "q") != nil || n.Queue("/", "q") == nil {
		t.Error("the tenant is not gone, or more than it")
	}
	if err := create("acme"); err != nil || n.Queue("acme", "q") != nil {
		t.Errorf("the tenant that was created anew has the old one's queue: %v", err)
	}
	if _, err := n.NewRouter("nix").Route([]byte("amq.direct"), nil, nil); !errors.Is(err, broker.ErrUnknownExchange) {
		t.Errorf("in a tenant that does not exist: %v", err)
	}
}

// TestDeclarationsDoNotWait declares, binds and deletes without waiting for
// answers: they keep their order.
func TestDeclarationsDoNotWait(t *testing.T) {
	n := Start(t, Options{})
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	spec := func(durable bool) *broker.QueueSpec {
		return &broker.QueueSpec{Name: "q", Durable: durable, Settings: broker.DefaultQueueSettings()}
	}
	var queues []*broker.Queue
	declared := func(q *broker.Queue, _ bool, err error) { queues = append(queues, q); note(err) }
	n.DeclareQueue(spec(true), declared)
	n.DeclareQueue(spec(true), declared)
	n.DeclareQueue(spec(false), declared)
	n.DeclareExchange(&broker.ExchangeSpec{Name: "x", Type: "fanout"}, func(_ bool, err error) { note(err) })
	n.Bind(&broker.Binding{Source: "x", Destination: "q"}, nil, note)
	n.Settle()
	queues = slices.DeleteFunc(queues, func(q *broker.Queue) bool { return q == nil })
	if len(errs) != 5 || len(queues) != 2 || queues[0] != queues[1] {
		t.Fatalf("%v %v", errs, queues)
	}
	refused := 0
	for _, err := range errs {
		if errors.Is(err, broker.ErrNotEquivalent) {
			refused++
		} else if err != nil {
			t.Error(err)
		}
	}
	if got := targets(t, n.NewRouter("/"), "x", ""); refused != 1 || got != "q" {
		t.Errorf("%d refused, bound to %q", refused, got)
	}
}

// TestRouterAllocatesNothing is about keys that it knows.
func TestRouterAllocatesNothing(t *testing.T) {
	n := Start(t, Options{})
	n.MustDeclare("q")
	if err := n.Binds(broker.Binding{Source: "amq.topic", Destination: "q", Key: "a.*"}); err != nil {
		t.Fatal(err)
	}
	r := n.NewRouter("/")
	exchange, key := []byte("amq.topic"), []byte("a.b")
	if allocs := testing.AllocsPerRun(100, func() {
		if found, err := r.Route(exchange, key, nil); err != nil || len(found.Queues) != 1 {
			t.Fatal(found, err)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// consume begins to consume a queue, for a session, and takes nothing.
func consume(t *testing.T, n *Node, q *broker.Queue, s *broker.Session) *broker.Consumer {
	t.Helper()
	var c *broker.Consumer
	q.Consume(&broker.ConsumerSpec{Session: s, Deliver: func([]broker.Delivery) {}}, func(got *broker.Consumer, err error) {
		if err != nil {
			t.Fatal(err)
		}
		c = got
	})
	n.Settle()
	return c
}

func TestAutoDeleteQueue(t *testing.T) {
	n := Start(t, Options{})
	declare := func() *broker.Queue {
		q, _, err := n.Declare(broker.QueueSpec{Name: "auto", Durable: true, AutoDelete: true})
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	q := declare()
	n = n.Restart()
	if q = n.Queue("/", "auto"); q == nil {
		t.Fatal("it is gone, and never had a consumer")
	}
	first, second := consume(t, n, q, n.OpenSession()), n.OpenSession()
	consume(t, n, q, second)
	first.Cancel(nil)
	n.Settle()
	if n.Queue("/", "auto") != q {
		t.Fatal("it is gone, and has a consumer")
	}
	second.Close(nil)
	n.Settle()
	if n.Queue("/", "auto") != nil || !q.Deleted() {
		t.Fatal("it outlives its last consumer")
	}
	stays := n.MustDeclare("stays")
	consume(t, n, stays, n.OpenSession()).Cancel(nil)
	n.Settle()
	if n.Queue("/", "stays") == nil {
		t.Fatal("another queue is gone with its last consumer")
	}
}

func TestQueueExpires(t *testing.T) {
	n := Start(t, Options{})
	settings := broker.DefaultQueueSettings()
	settings.Expires = 10_000
	spec := broker.QueueSpec{Name: "q", Durable: true, Settings: settings}
	q, _, err := n.Declare(spec)
	if err != nil {
		t.Fatal(err)
	}
	n.Advance(9 * time.Second)
	if again, _, err := n.Declare(spec); err != nil || again != q {
		t.Fatal("declaring it again", err)
	}
	n.Advance(9 * time.Second)
	c := consume(t, n, q, n.OpenSession())
	n.Advance(time.Minute)
	if n.Queue("/", "q") != q {
		t.Fatal("it has expired while it was used")
	}
	c.Cancel(nil)
	n.Advance(9 * time.Second)
	q.Get(n.OpenSession(), true, func(*broker.Delivery, int64, bool, error) {})
	n.Advance(9 * time.Second)
	if n.Queue("/", "q") != q {
		t.Fatal("it has expired soon after a get")
	}
	n.Advance(2 * time.Second)
	if n.Queue("/", "q") != nil || !q.Deleted() {
		t.Fatal("it does not expire")
	}
	if _, _, err := n.Declare(spec); err != nil {
		t.Fatal(err)
	}
	n = n.Restart()
	n.Advance(9 * time.Second)
	if n.Queue("/", "q") == nil {
		t.Fatal("it has expired soon after a restart")
	}
	n.Advance(2 * time.Second)
	if n.Queue("/", "q") != nil {
		t.Fatal("it does not expire after a restart")
	}
}

func TestUsers(t *testing.T) {
	n := Start(t, Options{})
	if !n.Authenticate("guest", "guest", true) || n.Authenticate("guest", "guest", false) || !n.MayEnter("guest", "/") {
		t.Error("the default user is not let in, or from afar")
	}
	created := false
	put := func(s *broker.UserSpec) error {
		return n.Ask(func(done func(error)) { n.PutUser(s, func(c bool, err error) { created = c; done(err) }) })
	}
	if err := put(&broker.UserSpec{Name: "app", Password: "secret"}); err != nil || !created {
		t.Fatal(created, err)
	}
	allow := func(tenant string) error {
		return n.Ask(func(done func(error)) { n.SetPermission("app", tenant, "^q", "", ".*", done) })
	}
	if err := allow("acme"); !errors.Is(err, broker.ErrUnknownTenant) {
		t.Errorf("a permission in a tenant that does not exist: %v", err)
	}
	if err := allow("/"); err != nil {
		t.Fatal(err)
	}
	n = n.Crash(false)
	n.Settle()
	who := access.Principal{Name: "app"}
	may := func(a access.Action, name string) bool {
		return n.Authorize(who, a, access.Resource{Tenant: "/", Type: access.Topic, Name: name}) == nil
	}
	if !n.Authenticate("app", "secret", false) || !may(access.Create, "q1") || may(access.Create, "x") || may(access.Produce, "q1") || !may(access.Consume, "x") {
		t.Error("the user, or what it may do, has changed by a crash")
	}
	if n.Authorize(access.Principal{Loopback: true}, access.Create, access.Resource{}) != nil || n.Authorize(access.Principal{}, access.Create, access.Resource{}) == nil {
		t.Error("who gives no name is trusted on this machine alone")
	}
	if err := n.Ask(func(done func(error)) { n.DeleteUser("app", done) }); err != nil || n.User("app") != nil {
		t.Error(err)
	}
	if err := n.Ask(func(done func(error)) { n.ClearPermission("app", "/", done) }); !errors.Is(err, broker.ErrUnknownUser) {
		t.Error(err)
	}
}

func TestPolicies(t *testing.T) {
	n := Start(t, Options{})
	put := func(p broker.Policy) {
		t.Helper()
		if err := n.Ask(func(done func(error)) { n.PutPolicy(&p, func(_ bool, err error) { done(err) }) }); err != nil {
			t.Fatal(err)
		}
	}
	declare := func(name string, change func(*broker.QueueSettings)) *broker.Queue {
		t.Helper()
		settings := broker.DefaultQueueSettings()
		change(&settings)
		q, _, err := n.Declare(broker.QueueSpec{Name: name, Durable: true, Settings: settings})
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	plain := declare("work.plain", func(*broker.QueueSettings) {})
	tight := declare("work.tight", func(s *broker.QueueSettings) {
		s.MaxLength, s.DeadLetter, s.DeadLetterExchange, s.DeadLetterKey, s.Overflow = 10, true, "own", "key", broker.RejectPublish
	})
	definition := route.AppendText(route.AppendText(route.AppendInteger(nil, "max-length", 50), "dead-letter-exchange", "dlx"), "overflow", "reject-publish-dlx")
	put(broker.Policy{Name: "work", Pattern: "^work", ApplyTo: route.ToQueues, Definition: route.AppendInteger(definition, "retry-first-ms", 100)})
	check := func(q *broker.Queue, want string) {
		t.Helper()
		s := q.Settings()
		if got := fmt.Sprintf("%d %t %t %s,%s %d %d", s.MaxLength, s.DeadLetter, s.KeepKeys, s.DeadLetterExchange, s.DeadLetterKey, s.Overflow, s.Retry.First); got != want {
			t.Errorf("%s: %s, want %s", q.Name(), got, want)
		}
	}
	check(plain, "50 true true dlx, 2 100")
	check(tight, "10 true false own,key 1 100")
	later := declare("work.later", func(*broker.QueueSettings) {})
	check(later, "50 true true dlx, 2 100")
	check(n.MustDeclare("other"), "-1 false false , 0 0")
	put(broker.Policy{Name: "all", Operator: true, Pattern: "", ApplyTo: route.ToAll, Definition: route.AppendText(route.AppendInteger(nil, "max-length", 20), "overflow", "drop-head")})
	check(plain, "20 true true dlx, 0 100")
	check(tight, "10 true false own,key 0 100")
	n = n.Crash(false)
	n.Settle()
	plain = n.Queue("/", "work.plain")
	check(plain, "20 true true dlx, 0 100")
	if _, _, err := n.Declare(broker.QueueSpec{Name: "work.plain", Durable: true}); err != nil {
		t.Errorf("under a policy it is not what it was declared as: %v", err)
	}
	var names []string
	n.Policies("/", false, func(list []*broker.Policy) {
		for _, p := range list {
			names = append(names, p.Name)
		}
	})
	for _, p := range []struct {
		name     string
		operator bool
	}{{"work", false}, {"all", true}} {
		if err := n.Ask(func(done func(error)) { n.DeletePolicy("/", p.name, p.operator, done) }); err != nil {
			t.Fatal(err)
		}
	}
	check(plain, "-1 false false , 0 0")
	check(n.Queue("/", "work.tight"), "10 true false own,key 1 0")
	if err := n.Ask(func(done func(error)) { n.DeletePolicy("/", "work", false, done) }); !errors.Is(err, broker.ErrUnknownPolicy) || !slices.Equal(names, []string{"work"}) {
		t.Errorf("%v, policies were %v", err, names)
	}
}
