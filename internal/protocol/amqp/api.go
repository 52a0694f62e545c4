package amqp

import (
	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// row is a row of the table of methods that clients send.
type row struct {
	id wire.ID
	// during is the phase in which a method of the connection may come.
	during phase
	// needs lists what a client must be allowed to do. Every handler asks for
	// each of them, through session.allows; none means that everybody may.
	needs []permission
	// connection handles the method on channel 0, channel on any other. A nil
	// one refuses it there.
	connection func(*session, []byte) error
	channel    func(*channel, []byte) error
}

// anyPhase is that of a method that may come at any time.
const anyPhase phase = 255

// permission is an action on a type of resource. A queue is a topic.
type permission struct {
	action access.Action
	on     access.Type
}

// methods is the table, ordered by id. What the server alone sends is not in
// it.
var methods = []row{
	{id: wire.IDConnectionStartOk, during: starting, connection: onConnection(connectionStartOk)},
	{id: wire.IDConnectionTuneOk, during: tuning, connection: onConnection(connectionTuneOk)},
	{id: wire.IDConnectionOpen, during: opening, connection: onConnection(connectionOpen)},
	{id: wire.IDConnectionClose, during: anyPhase, connection: onConnection(connectionClose)},
	{id: wire.IDConnectionCloseOk, during: running, connection: onConnection(connectionCloseOk)},
	{id: wire.IDConnectionUpdateSecret, during: running, connection: onConnection(connectionUpdateSecret)},

	{id: wire.IDChannelOpen, channel: nil},
	{id: wire.IDChannelFlow, channel: on(channelFlow)},
	{id: wire.IDChannelFlowOk, channel: on(channelFlowOk)},
	{id: wire.IDChannelClose, channel: on(channelClose)},
	{id: wire.IDChannelCloseOk, channel: on(channelCloseOk)},

	{id: wire.IDAccessRequest, channel: on(accessRequest)},

	{
		id: wire.IDExchangeDeclare, channel: on(exchangeDeclare),
		needs: []permission{{access.Create, access.Exchange}, {access.Consume, access.Exchange}, {access.Produce, access.Exchange}},
	},
	{id: wire.IDExchangeDelete, needs: []permission{{access.Delete, access.Exchange}}, channel: on(exchangeDelete)},
	{
		id: wire.IDExchangeBind, channel: on(exchangeBind),
		needs: []permission{{access.Produce, access.Exchange}, {access.Consume, access.Exchange}},
	},
	{
		id: wire.IDExchangeUnbind, channel: on(exchangeUnbind),
		needs: []permission{{access.Produce, access.Exchange}, {access.Consume, access.Exchange}},
	},

	{
		id: wire.IDQueueDeclare, channel: on(queueDeclare),
		needs: []permission{
			{access.Create, access.Topic}, {access.Describe, access.Topic}, {access.Consume, access.Topic}, {access.Produce, access.Exchange},
		},
	},
	{
		id: wire.IDQueueBind, channel: on(queueBind),
		needs: []permission{{access.Produce, access.Topic}, {access.Consume, access.Exchange}},
	},
	{id: wire.IDQueuePurge, needs: []permission{{access.Consume, access.Topic}}, channel: on(queuePurge)},
	{id: wire.IDQueueDelete, needs: []permission{{access.Delete, access.Topic}}, channel: on(queueDelete)},
	{
		id: wire.IDQueueUnbind, channel: on(queueUnbind),
		needs: []permission{{access.Produce, access.Topic}, {access.Consume, access.Exchange}},
	},

	{id: wire.IDBasicQos, channel: on(basicQos)},
	{id: wire.IDBasicConsume, needs: []permission{{access.Consume, access.Topic}}, channel: on(basicConsume)},
	{id: wire.IDBasicCancel, channel: on(basicCancel)},
	{id: wire.IDBasicCancelOk, channel: on(basicCancelOk)},
	{id: wire.IDBasicPublish, needs: []permission{{access.Produce, access.Exchange}}, channel: (*channel).basicPublish},
	{id: wire.IDBasicGet, needs: []permission{{access.Consume, access.Topic}}, channel: on(basicGet)},
	{id: wire.IDBasicAck, channel: basicAck},
	{id: wire.IDBasicReject, channel: on(basicReject)},
	{id: wire.IDBasicRecoverAsync, channel: on(basicRecoverAsync)},
	{id: wire.IDBasicRecover, channel: on(basicRecover)},
	{id: wire.IDBasicNack, channel: on(basicNack)},

	{id: wire.IDConfirmSelect, channel: on(confirmSelect)},

	{id: wire.IDTxSelect, channel: on(txSelect)},
	{id: wire.IDTxCommit, channel: on(txCommit)},
	{id: wire.IDTxRollback, channel: on(txRollback)},
}

// on makes a handler of a function that takes a decoded method, whose byte
// slices alias the frame.
func on[T any, M interface {
	*T
	wire.Method
}](fn func(*channel, M) error) func(*channel, []byte) error {
	return func(ch *channel, args []byte) error {
		m := M(new(T))
		if err := wire.Parse(m, args); err != nil {
			return err
		}
		return fn(ch, m)
	}
}

// onConnection is on for the methods of channel 0.
func onConnection[T any, M interface {
	*T
	wire.Method
}](fn func(*session, M) error) func(*session, []byte) error {
	return func(s *session, args []byte) error {
		m := M(new(T))
		if err := wire.Parse(m, args); err != nil {
			return err
		}
		return fn(s, m)
	}
}

// table is the rows by id.
type table struct {
	byID map[wire.ID]*row
}

func newTable(rows []row) *table {
	t := &table{byID: make(map[wire.ID]*row, len(rows))}
	for i := range rows {
		t.byID[rows[i].id] = &rows[i]
	}
	return t
}

// lookup returns the row of a method, nil if clients do not send it.
func (t *table) lookup(id wire.ID) *row { return t.byID[id] }
