package management

import (
	"net/http"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// queueInfo is what a queue was declared as, in answers and in definitions.
type queueInfo struct {
	Name       string    `json:"name"`
	Vhost      string    `json:"vhost,omitempty"`
	Durable    flag      `json:"durable"`
	AutoDelete flag      `json:"auto_delete"`
	Arguments  arguments `json:"arguments"`
}

// queueState is a queue with how it stands.
type queueState struct {
	queueInfo
	Exclusive bool   `json:"exclusive"`
	Type      string `json:"type"`
	Node      string `json:"node"`
	State     string `json:"state"`
	Policy    any    `json:"policy"`
	Operator  any    `json:"operator_policy"`
	// Effective is what both say together.
	Effective map[string]any `json:"effective_policy_definition"`
	queueTotals
	queueRates
	placed
	Bytes     int64          `json:"message_bytes"`
	Consumers int64          `json:"consumers"`
	Memory    int64          `json:"memory"`
	Scheduled int64          `json:"messages_scheduled"`
	Stats     map[string]any `json:"message_stats"`
	*queueDetails
	*replicas
}

// placed says where messages are: all of them on the disk, and what is in memory
// beside is nobody's.
type placed struct {
	Persistent      int64 `json:"messages_persistent"`
	PersistentBytes int64 `json:"message_bytes_persistent"`
	PagedOut        int64 `json:"messages_paged_out"`
	PagedOutBytes   int64 `json:"message_bytes_paged_out"`
	RAM             int64 `json:"messages_ram"`
	RAMBytes        int64 `json:"message_bytes_ram"`
	ReadyRAM        int64 `json:"messages_ready_ram"`
	UnackedRAM      int64 `json:"messages_unacknowledged_ram"`
}

// queueDetails are told of one queue alone. By which exchanges and channels
// messages came and went is not counted.
type queueDetails struct {
	ConsumerDetails []consumerInfo `json:"consumer_details"`
	Incoming        []any          `json:"incoming"`
	Deliveries      []any          `json:"deliveries"`
}

// replicas are told of queues that say that they are replicated: quorum queues
// and streams.
type replicas struct {
	Leader  string   `json:"leader"`
	Members []string `json:"members"`
	Online  []string `json:"online"`
}

func describeQueue(queue *broker.Queue) (info queueInfo, exclusive, declared bool) {
	d := queue.Definition()
	if d == nil {
		return info, false, false
	}
	return queueInfo{
		Name: queue.Name(), Vhost: queue.Tenant(), Durable: flag(d.Durable), AutoDelete: flag(d.AutoDelete),
		Arguments: object(wire.Table(d.Arguments)),
	}, d.Exclusive, true
}

func (a *api) showQueue(r *http.Request, b *broker.Broker, queue *broker.Queue) (queueState, bool) {
	info, exclusive, ok := describeQueue(queue)
	if !ok {
		return queueState{}, false
	}
	s := queue.Stats()
	state := queueState{
		queueInfo: info, Exclusive: exclusive, Type: "classic", Node: amqp.NodeName(b), State: "running",
		Bytes: s.Bytes, Consumers: s.Consumers, Scheduled: s.Scheduled,
	}
	if t, ok := info.Arguments["x-queue-type"].(string); ok {
		state.Type = t
	}
	if state.Type != "classic" {
		state.replicas = &replicas{state.Node, []string{state.Node}, []string{state.Node}}
	}
	state.add(s)
	state.placed = placed{Persistent: s.Ready + s.Unacked, PersistentBytes: s.Bytes, PagedOut: s.Ready + s.Unacked, PagedOutBytes: s.Bytes}
	now := queueNumbers(s)
	past := a.rates.of(seriesName(info.Vhost, info.Name), now)
	state.queueRates, state.Stats = past.totals(lengthsAge(r)), past.stats(len(totalNames), queueNames, now)
	return state, true
}

// governed notes which policies apply to queues.
func governed(b *broker.Broker, queues []*broker.Queue, states []queueState) {
	answered := make(chan struct{})
	b.PoliciesOf(queues, func(user, operator []*broker.Policy) {
		for i := range states {
			s := &states[i]
			s.Effective = map[string]any{}
			if p := user[i]; p != nil {
				s.Policy, s.Effective = p.Name, object(wire.Table(p.Definition))
			}
			if p := operator[i]; p != nil {
				s.Operator = p.Name
				s.limit(object(wire.Table(p.Definition)))
			}
		}
		close(answered)
	})
	<-answered
}

// limit merges an operator's policy into the effective one: the lower number
// counts, and what else it says.
func (s *queueState) limit(operator map[string]any) {
	for name, v := range operator {
		old, both := s.Effective[name].(int64)
		if n, ok := v.(int64); both && ok {
			v = min(n, old)
		}
		s.Effective[name] = v
	}
}

func (a *api) queues(q *request) {
	vhosts, ok := q.tenants()
	if !ok {
		return
	}
	all := []queueState{}
	var shown []*broker.Queue
	for _, vhost := range vhosts {
		for queue := range q.broker.Queues(vhost) {
			if s, ok := a.showQueue(q.r, q.broker, queue); ok {
				all, shown = append(all, s), append(shown, queue)
			}
		}
	}
	governed(q.broker, shown, all)
	list(q, all, func(s *queueState) string { return s.Name })
}

// named returns the queue of the path; without one it has answered.
func (q *request) named() *broker.Queue {
	queue := q.broker.Queue(q.r.PathValue("vhost"), q.r.PathValue("name"))
	if queue == nil {
		q.notFound()
	}
	return queue
}

func (a *api) queue(q *request) {
	queue := q.named()
	if queue == nil {
		return
	}
	s, ok := a.showQueue(q.r, q.broker, queue)
	if !ok {
		q.notFound()
		return
	}
	one := []queueState{s}
	governed(q.broker, []*broker.Queue{queue}, one)
	s = one[0]
	details := []consumerInfo{}
	for _, c := range a.allConsumers(q, []string{s.Vhost}) {
		if c.Queue.Name == s.Name {
			details = append(details, c)
		}
	}
	s.queueDetails = &queueDetails{details, []any{}, []any{}}
	q.answer(s)
}

func (a *api) putQueue(q *request) {
	x := queueInfo{Durable: true}
	if !q.read(&x) {
		return
	}
	vhost, name := q.r.PathValue("vhost"), q.r.PathValue("name")
	args, err := table(x.Arguments)
	if err != nil {
		fail(q.w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	known := q.broker.Queue(vhost, name) != nil
	declare := &wire.QueueDeclare{Queue: []byte(name), Durable: bool(x.Durable), AutoDelete: bool(x.AutoDelete), Arguments: args}
	if a.as(q, vhost, func(c *client) error { return c.call(declare, &wire.QueueDeclareOk{}) }) {
		q.done(!known)
	}
}

func (a *api) deleteQueue(q *request) {
	if q.named() == nil {
		return
	}
	m := &wire.QueueDelete{
		Queue: []byte(q.r.PathValue("name")), IfUnused: q.r.FormValue("if-unused") == "true", IfEmpty: q.r.FormValue("if-empty") == "true",
	}
	if a.as(q, q.r.PathValue("vhost"), func(c *client) error { return c.call(m, &wire.QueueDeleteOk{}) }) {
		q.done(false)
	}
}

func (a *api) purgeQueue(q *request) {
	if q.named() == nil {
		return
	}
	m := &wire.QueuePurge{Queue: []byte(q.r.PathValue("name"))}
	if a.as(q, q.r.PathValue("vhost"), func(c *client) error { return c.call(m, &wire.QueuePurgeOk{}) }) {
		q.done(false)
	}
}
