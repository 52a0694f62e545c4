package kafka

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/group"
	"github.com/polylog-mq/polylog/internal/state/txn"
)

// guard is an authorizer that writes down what it is asked.
type guard struct {
	deny  bool
	mu    sync.Mutex
	asked []permission
}

func (g *guard) Authorize(_ access.Principal, a access.Action, r access.Resource) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, permission{a, r.Type})
	if g.deny {
		return access.ErrDenied
	}
	return nil
}

// stand makes g the server's authorizer.
func (g *guard) stand(s *Server) { s.opts.Access = g }

// take returns what was asked since the last time.
func (g *guard) take() []permission {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := g.asked
	g.asked = nil
	return out
}

// example fills a request so that it names one of everything: the topic t, the
// group g, partition 0.
func example(v reflect.Value, id [16]byte, batch []byte) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Name != "Version" && f.Name != "UnknownTags" {
				exampleField(f.Name, v.Field(i), id, batch)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		example(v.Index(0), id, batch)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		example(v.Elem(), id, batch)
	case reflect.String:
		v.SetString("t")
	default:
	}
}

func exampleField(name string, v reflect.Value, id [16]byte, batch []byte) {
	switch {
	case name == "Records":
		v.SetBytes(batch)
	case name == "TopicID":
		v.Set(reflect.ValueOf(id))
	case name == "Group" || name == "Groups" && v.Type() == reflect.TypeFor[[]string]():
		example(v, id, batch)
		if v.Kind() == reflect.String {
			v.SetString("g")
		} else {
			v.Index(0).SetString("g")
		}
	case name == "ResourceType":
		v.SetInt(int64(kmsg.ConfigResourceTypeTopic))
	case name == "TransactionID" || name == "TransactionalID" || name == "InstanceID" || name == "ReplicaAssignment":
		v.SetZero()
	case name == "ReplicationFactor" || name == "NumPartitions" || name == "Count":
		v.SetInt(1)
	default:
		example(v, id, batch)
	}
}

// variants are what an example does not bring up: other branches of an
// operation, which ask for other permissions.
var variants = map[int16][]func(kmsg.Request, [16]byte){
	3: {func(r kmsg.Request, _ [16]byte) {
		m := r.(*kmsg.MetadataRequest)
		m.Topics = []kmsg.MetadataRequestTopic{{Topic: new("new")}}
		m.AllowAutoTopicCreation = true
	}},
	0: {func(r kmsg.Request, _ [16]byte) {
		h := record.Template(record.None)
		h.Attributes |= 1 << 4 // transactional
		h.ProducerID, h.ProducerEpoch, h.BaseSequence = 1, 0, 0
		var b record.Builder
		b.Reset(h)
		b.Add(record.Record{Timestamp: now()})
		p := r.(*kmsg.ProduceRequest)
		p.TransactionID = new("t")
		p.Topics[0].Partitions[0].Records, _ = b.AppendTo(nil)
	}},
	10: {func(r kmsg.Request, _ [16]byte) { r.(*kmsg.FindCoordinatorRequest).CoordinatorType = 1 }},
	16: {func(r kmsg.Request, _ [16]byte) {
		r.(*kmsg.ListGroupsRequest).StatesFilter, r.(*kmsg.ListGroupsRequest).TypesFilter = nil, nil
	}},
	20: {func(r kmsg.Request, id [16]byte) {
		r.(*kmsg.DeleteTopicsRequest).Topics[0] = kmsg.DeleteTopicsRequestTopic{TopicID: id}
	}},
	22: {func(r kmsg.Request, _ [16]byte) { r.(*kmsg.InitProducerIDRequest).TransactionalID = new("x") }},
	32: {func(r kmsg.Request, _ [16]byte) {
		r.(*kmsg.DescribeConfigsRequest).Resources[0].ResourceType = kmsg.ConfigResourceTypeBroker
	}},
	33: {func(r kmsg.Request, _ [16]byte) {
		r.(*kmsg.AlterConfigsRequest).Resources[0].ResourceType = kmsg.ConfigResourceTypeBroker
	}},
	44: {func(r kmsg.Request, _ [16]byte) {
		r.(*kmsg.IncrementalAlterConfigsRequest).Resources[0].ResourceType = kmsg.ConfigResourceTypeBroker
	}},
}

// examples calls fn with requests of a row that reach all that it needs
// permission for.
func examples(t *testing.T, row *api, id [16]byte, fn func(req kmsg.Request)) {
	t.Helper()
	edits := append([]func(kmsg.Request, [16]byte){func(kmsg.Request, [16]byte) {}}, variants[row.key]...)
	for _, version := range []int16{row.served.min, row.served.max} {
		for _, edit := range edits {
			req := kmsg.RequestForKey(row.key)
			example(reflect.ValueOf(req).Elem(), id, batchOf(t, record.Template(record.None), now(), "a"))
			req.SetVersion(version)
			if d, ok := req.(*kmsg.DeleteTopicsRequest); ok {
				d.Topics[0].TopicID = [16]byte{} // not both
			}
			edit(req, id)
			fn(req)
		}
	}
}

// TestEveryHandlerAsks walks the table: each handler asks for all that its row
// says, and for nothing else.
func TestEveryHandlerAsks(t *testing.T) {
	g := &guard{}
	r := newRig(t, g.stand)
	r.commit("g")
	for i := range apis {
		row := &apis[i]
		t.Run(row.name, func(t *testing.T) {
			var asked []permission
			id := r.topic("t", 1)
			r.transact("t", "t")
			examples(t, row, id, func(req kmsg.Request) {
				if p, ok := req.(*kmsg.ProduceRequest); ok {
					p.Acks = -1
				}
				c := dial(t, r.address)
				c.ask(req)
				asked = append(asked, g.take()...)
			})
			for _, p := range row.needs {
				if !slices.Contains(asked, p) {
					t.Errorf("never asks for %s on a %s", p.action, p.on)
				}
			}
			for _, p := range asked {
				telling := row.key == 75 && p.on == access.Topic // what the caller may do is part of the answer
				if !slices.Contains(row.needs, p) && !telling {
					t.Errorf("asks for %s on a %s, which its row does not list", p.action, p.on)
				}
			}
			r.drop("t", "new")
			g.take()
		})
	}
}

// drop deletes topics that exist.
func (r *rig) drop(names ...string) {
	r.t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TopicNames = 1, names
	dial(r.t, r.address).ask(req)
}

// TestNothingIsDoneForTheDenied walks the table with a guard that lets nobody
// do anything: every answer is a refusal, and nothing has changed.
func TestNothingIsDoneForTheDenied(t *testing.T) {
	g := &guard{}
	r := newRig(t, g.stand)
	r.commit("g")
	id := r.topic("t", 1)
	r.write("t", "a")
	g.mu.Lock()
	g.deny = true
	g.mu.Unlock()
	before := r.snapshot()
	for i := range apis {
		row := &apis[i]
		if len(row.needs) == 0 {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			examples(t, row, id, func(req kmsg.Request) {
				if p, ok := req.(*kmsg.ProduceRequest); ok {
					p.Acks = -1
				}
				resp := dial(t, r.address).ask(req)
				if l, ok := resp.(*kmsg.ListGroupsResponse); ok && len(l.Groups) == 0 {
					return // what may not be seen is not there
				}
				if d, ok := resp.(*kmsg.DescribeLogDirsResponse); ok && d.Version < 3 && len(d.Dirs) == 0 {
					return // its early versions have no code: clients take no folder for a refusal
				}
				if l, ok := resp.(*kmsg.ListTransactionsResponse); ok && len(l.TransactionStates) == 0 {
					return
				}
				if refusals(reflect.ValueOf(resp)) == 0 {
					t.Errorf("v%d: no refusal in %+v", req.GetVersion(), resp)
				}
			})
			if after := r.snapshot(); after != before {
				t.Errorf("something was done:\nbefore %s\nafter  %s", before, after)
			}
		})
	}
}

// transact begins a transaction with partition 0 of a topic.
func (r *rig) transact(id, topic string) {
	r.t.Helper()
	done := make(chan error, 1)
	var reply txn.Reply
	init := func() {
		r.broker.InitTransactions(&txn.Init{ID: id, Timeout: 60_000, Producer: -1, Epoch: -1}, func(got txn.Reply, err error) {
			reply = got
			done <- err
		})
	}
	init()
	err := <-done
	for deadline := time.Now().Add(5 * time.Second); errors.Is(err, txn.ErrConcurrent) && time.Now().Before(deadline); err = <-done {
		init() // the one before is being aborted
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.broker.AddToTransaction(&txn.Add{
		ID: id, Producer: reply.Producer, Epoch: reply.Epoch,
		Partitions: []txn.Partition{r.broker.Topic(topic).Partitions[0].InTransaction()},
	}, func(each []error, err error) { done <- errors.Join(append(each, err)...) })
	if err := <-done; err != nil {
		r.t.Fatal(err)
	}
}

// commit makes a group.
func (r *rig) commit(id string) {
	r.t.Helper()
	done := make(chan error, 1)
	r.broker.CommitOffsets(&group.Commit{Group: id, Generation: -1, Retention: -1, Topics: []group.CommitTopic{
		{Topic: 1, Name: "t", Partitions: []group.CommitPartition{{Offset: 1}}},
	}}, func(err error) { done <- err })
	if err := <-done; err != nil {
		r.t.Fatal(err)
	}
}

// snapshot shows all topics with their settings and ends, and all groups.
func (r *rig) snapshot() (out string) {
	groups := make(chan string, 1)
	r.broker.ListGroups(func(found []group.Summary, err error) { groups <- fmt.Sprint(found, err) })
	out = <-groups
	for t := range r.broker.Topics() {
		out += fmt.Sprintf("%s %x %v", t.Name, t.UUID, t.Config)
		for _, p := range t.Partitions {
			out += fmt.Sprintf(" %d-%d", p.Floor(), p.HighWatermark())
		}
	}
	return out
}

// refusals counts the error codes in a response that say so, and the ids that
// are said to be unknown.
func refusals(v reflect.Value) (n int) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return refusals(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			n += refusals(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "ErrorCode" {
				switch int16(v.Field(i).Int()) {
				case errTopicAuthorizationFailed, errGroupAuthorizationFailed, errClusterAuthorizationFailed,
					errTransactionalIDAuthFailed, errUnknownTopicID:
					n++
				}
			} else if v.Type().Field(i).IsExported() {
				n += refusals(v.Field(i))
			}
		}
	default:
	}
	return n
}

// TestLoopbackAloneIsTrusted: today's only rule.
func TestLoopbackAloneIsTrusted(t *testing.T) {
	r := newRig(t, func(s *Server) { s.opts.Access = access.Policy{} })
	if resp := r.ask(metadataRequest(8, "t")).(*kmsg.MetadataResponse); resp.Topics[0].ErrorCode != errUnknownTopicOrPartition {
		t.Errorf("from this machine: %+v", resp.Topics[0])
	}
	for address, trusted := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true, "10.0.0.1:1": false, "[2001:db8::1]:1": false,
	} {
		if got := newSession(r.server, mustAddrPort(address), mustAddrPort("127.0.0.1:9092")).principal.Loopback; got != trusted {
			t.Errorf("%s: trusted %v", address, got)
		}
	}
}
