package management

import (
	"net/http"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// exchangeInfo is an exchange, in answers and in definitions.
type exchangeInfo struct {
	Name       string    `json:"name"`
	Vhost      string    `json:"vhost,omitempty"`
	Type       string    `json:"type"`
	Durable    flag      `json:"durable"`
	AutoDelete flag      `json:"auto_delete"`
	Internal   flag      `json:"internal"`
	Arguments  arguments `json:"arguments"`
	Policy     any       `json:"policy,omitempty"`
	// Stats are shown of exchanges that something was published to.
	Stats map[string]any `json:"message_stats,omitempty"`
	*exchangeDetails
}

// exchangeDetails are told of one exchange alone. What came from which channel and
// went where is not counted.
type exchangeDetails struct {
	Incoming []any `json:"incoming"`
	Outgoing []any `json:"outgoing"`
}

func describeExchange(vhost string, x *broker.Exchange) exchangeInfo {
	return exchangeInfo{
		Name: x.Name, Vhost: vhost, Type: x.Type, Durable: flag(x.Durable), AutoDelete: flag(x.AutoDelete), Internal: flag(x.Internal),
		Arguments: object(wire.Table(x.Arguments)),
	}
}

// showExchange is describeExchange with what was counted.
func (a *api) showExchange(vhost string, x *broker.Exchange) exchangeInfo {
	info := describeExchange(vhost, x)
	if now := exchangeNumbers(a.rates.exchange(vhost, x.Name)); now[0] > 0 {
		info.Stats = a.rates.of(exchangeSeries(vhost, x.Name), now).stats(0, exchangeNames, now)
	}
	return info
}

func (a *api) exchanges(q *request) {
	vhosts, ok := q.tenants()
	if !ok {
		return
	}
	all := []exchangeInfo{}
	for _, vhost := range vhosts {
		for x := range q.broker.Exchanges(vhost) {
			all = append(all, a.showExchange(vhost, x))
		}
	}
	list(q, all, func(x *exchangeInfo) string { return x.Name })
}

// exchangeName is the name that a path gives: the default exchange has one
// there.
func exchangeName(name string) string {
	if name == "amq.default" {
		return ""
	}
	return name
}

func (a *api) exchange(q *request) {
	vhost := q.r.PathValue("vhost")
	x := q.broker.Exchange(vhost, exchangeName(q.r.PathValue("name")))
	if x == nil {
		q.notFound()
		return
	}
	info := a.showExchange(vhost, x)
	info.exchangeDetails = &exchangeDetails{[]any{}, []any{}}
	q.answer(info)
}

func (a *api) putExchange(q *request) {
	x := exchangeInfo{Type: "direct", Durable: true}
	if !q.read(&x) {
		return
	}
	vhost, name := q.r.PathValue("vhost"), q.r.PathValue("name")
	args, err := table(x.Arguments)
	if err != nil {
		fail(q.w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	known := q.broker.Exchange(vhost, name) != nil
	declare := &wire.ExchangeDeclare{
		Exchange: []byte(name), Type: []byte(x.Type), Durable: bool(x.Durable), AutoDelete: bool(x.AutoDelete), Internal: bool(x.Internal), Arguments: args,
	}
	if a.as(q, vhost, func(c *client) error { return c.call(declare, &wire.ExchangeDeclareOk{}) }) {
		q.done(!known)
	}
}

func (a *api) deleteExchange(q *request) {
	vhost, name := q.r.PathValue("vhost"), q.r.PathValue("name")
	if q.broker.Exchange(vhost, name) == nil {
		q.notFound()
		return
	}
	m := &wire.ExchangeDelete{Exchange: []byte(name), IfUnused: q.r.FormValue("if-unused") == "true"}
	if a.as(q, vhost, func(c *client) error { return c.call(m, &wire.ExchangeDeleteOk{}) }) {
		q.done(false)
	}
}
