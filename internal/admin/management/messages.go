package management

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"unicode/utf8"

	"github.com/polylog-mq/polylog/internal/protocol/amqp/wire"
)

// properties are those of a message in JSON.
type properties struct {
	ContentType     string    `json:"content_type,omitempty"`
	ContentEncoding string    `json:"content_encoding,omitempty"`
	Headers         arguments `json:"headers,omitempty"`
	DeliveryMode    uint8     `json:"delivery_mode,omitempty"`
	Priority        uint8     `json:"priority,omitempty"`
	CorrelationID   string    `json:"correlation_id,omitempty"`
	ReplyTo         string    `json:"reply_to,omitempty"`
	Expiration      string    `json:"expiration,omitempty"`
	MessageID       string    `json:"message_id,omitempty"`
	Timestamp       uint64    `json:"timestamp,omitempty"`
	Type            string    `json:"type,omitempty"`
	UserID          string    `json:"user_id,omitempty"`
	AppID           string    `json:"app_id,omitempty"`
	ClusterID       string    `json:"cluster_id,omitempty"`
}

func describeProperties(p *wire.Properties) properties {
	j := properties{
		ContentType: string(p.ContentType), ContentEncoding: string(p.ContentEncoding), DeliveryMode: p.DeliveryMode, Priority: p.Priority,
		CorrelationID: string(p.CorrelationID), ReplyTo: string(p.ReplyTo), Expiration: string(p.Expiration), MessageID: string(p.MessageID),
		Timestamp: p.Timestamp, Type: string(p.Type), UserID: string(p.UserID), AppID: string(p.AppID), ClusterID: string(p.ClusterID),
	}
	if p.Flags&wire.HasHeaders != 0 {
		j.Headers = object(p.Headers)
	}
	return j
}

// wire returns the properties for AMQP. What is empty in JSON is not there.
func (j *properties) wire() (wire.Properties, error) {
	p := wire.Properties{DeliveryMode: j.DeliveryMode, Priority: j.Priority, Timestamp: j.Timestamp}
	var err error
	set := func(there bool, flag uint16) {
		if there {
			p.Flags |= flag
		}
	}
	for _, f := range []struct {
		value string
		flag  uint16
		field *[]byte
	}{
		{j.ContentType, wire.HasContentType, &p.ContentType}, {j.ContentEncoding, wire.HasContentEncoding, &p.ContentEncoding},
		{j.CorrelationID, wire.HasCorrelationID, &p.CorrelationID}, {j.ReplyTo, wire.HasReplyTo, &p.ReplyTo},
		{j.Expiration, wire.HasExpiration, &p.Expiration}, {j.MessageID, wire.HasMessageID, &p.MessageID},
		{j.Type, wire.HasType, &p.Type}, {j.UserID, wire.HasUserID, &p.UserID}, {j.AppID, wire.HasAppID, &p.AppID},
		{j.ClusterID, wire.HasClusterID, &p.ClusterID},
	} {
		*f.field = []byte(f.value)
		err = errors.Join(err, short("a property", f.value))
		set(f.value != "", f.flag)
	}
	set(j.DeliveryMode != 0, wire.HasDeliveryMode)
	set(j.Priority != 0, wire.HasPriority)
	set(j.Timestamp != 0, wire.HasTimestamp)
	set(j.Headers != nil, wire.HasHeaders)
	var bad error
	p.Headers, bad = table(j.Headers)
	return p, errors.Join(err, bad)
}

func (a *api) publish(q *request) {
	var body struct {
		Properties properties `json:"properties"`
		Key        *string    `json:"routing_key"`
		Payload    *string    `json:"payload"`
		Encoding   string     `json:"payload_encoding"`
	}
	if !q.read(&body) {
		return
	}
	if q.lacks(map[string]bool{"routing_key": body.Key != nil, "payload": body.Payload != nil}) {
		return
	}
	name := q.r.PathValue("name")
	if vhost := q.r.PathValue("vhost"); q.broker.Exchange(vhost, exchangeName(name)) == nil {
		// RabbitMQ's status, too.
		fail(q.w, http.StatusBadRequest, "bad_request", "404 NOT_FOUND - no exchange '"+name+"' in vhost '"+vhost+"'")
		return
	}
	payload := []byte(*body.Payload)
	p, err := body.Properties.wire()
	err = errors.Join(err, short("routing_key", *body.Key))
	if err == nil && body.Encoding == "base64" {
		payload, err = base64.StdEncoding.DecodeString(*body.Payload)
	}
	if err != nil {
		fail(q.w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	routed := true
	m := &wire.BasicPublish{Exchange: []byte(exchangeName(name)), RoutingKey: []byte(*body.Key), Mandatory: true}
	ok := a.as(q, q.r.PathValue("vhost"), func(c *client) (err error) {
		routed, err = c.publish(m, &p, payload)
		return err
	})
	if ok {
		q.answer(map[string]bool{"routed": routed})
	}
}

// publish publishes a message and waits until it is confirmed. It reports
// whether any queue got it.
func (c *client) publish(m *wire.BasicPublish, p *wire.Properties, body []byte) (routed bool, err error) {
	if err := c.call(&wire.ConfirmSelect{}, &wire.ConfirmSelectOk{}); err != nil {
		return false, err
	}
	b := wire.AppendMethod(nil, 1, m)
	b = wire.AppendContentHeader(b, 1, uint64(len(body)), p)
	b = wire.AppendBody(b, 1, body, wire.MinFrameMax)
	if _, err := c.nc.Write(b); err != nil {
		return false, fmt.Errorf("publishing: %w", err)
	}
	for routed = true; ; {
		id, _, err := c.method()
		switch {
		case err != nil:
			return false, err
		case id == wire.IDBasicReturn:
			routed = false
			if _, err := c.content(); err != nil {
				return false, err
			}
		case id == wire.IDBasicNack:
			return false, nil // a queue is full
		case id == wire.IDBasicAck:
			return routed, nil
		}
	}
}

// gotMessage is a message that was taken from a queue.
type gotMessage struct {
	Bytes       int        `json:"payload_bytes"`
	Redelivered bool       `json:"redelivered"`
	Exchange    string     `json:"exchange"`
	Key         string     `json:"routing_key"`
	Left        uint32     `json:"message_count"`
	Properties  properties `json:"properties"`
	Payload     string     `json:"payload"`
	Encoding    string     `json:"payload_encoding"`
}

func (a *api) getMessages(q *request) {
	body := struct {
		Count    whole  `json:"count"`
		Mode     string `json:"ackmode"`
		Encoding string `json:"encoding"`
		Truncate *whole `json:"truncate"`
	}{Mode: "ack_requeue_true", Encoding: "auto"}
	if q.named() == nil || !q.read(&body) {
		return
	}
	requeue, reject := false, false
	switch body.Mode {
	case "ack_requeue_false":
	case "ack_requeue_true":
		requeue = true
	case "reject_requeue_true":
		requeue, reject = true, true
	case "reject_requeue_false":
		reject = true
	default:
		fail(q.w, http.StatusBadRequest, "bad_request", "ackmode must be one of ack_requeue_true, reject_requeue_true, ack_requeue_false, reject_requeue_false")
		return
	}
	if body.Count < 1 || body.Count > maxGet {
		fail(q.w, http.StatusBadRequest, "bad_request", fmt.Sprintf("count must be between 1 and %d", maxGet))
		return
	}
	if body.Encoding != "auto" && body.Encoding != "base64" {
		fail(q.w, http.StatusBadRequest, "bad_request", "Unsupported encoding. Please use auto or base64.")
		return
	}
	list := []gotMessage{}
	ok := a.as(q, q.r.PathValue("vhost"), func(c *client) error {
		got, err := c.get(q.r.PathValue("name"), int(body.Count), maxGetBytes, requeue, reject)
		for _, m := range got {
			list = append(list, m.show(body.Encoding, (*int)(body.Truncate)))
		}
		return err
	})
	if ok {
		q.answer(list)
	}
}

// got is a message with how it came.
type got struct {
	content
	wire.BasicGetOk
}

// get takes up to n messages, none after most bytes, and settles them all.
func (c *client) get(queue string, n, most int, requeue, reject bool) (all []got, err error) {
	for bytes := 0; len(all) < n && bytes < most; {
		if err := c.send(1, &wire.BasicGet{Queue: []byte(queue)}); err != nil {
			return nil, err
		}
		id, args, err := c.method()
		if err != nil {
			return nil, err
		}
		if id == wire.IDBasicGetEmpty {
			break
		}
		var m got
		if err := parse(&m.BasicGetOk, args); err != nil {
			return nil, err
		}
		if m.content, err = c.content(); err != nil {
			return nil, err
		}
		all, bytes = append(all, m), bytes+len(m.body)
	}
	if len(all) == 0 {
		return nil, nil
	}
	var m wire.Method = &wire.BasicAck{Multiple: true}
	if requeue || reject {
		m = &wire.BasicNack{Multiple: true, Requeue: requeue}
	}
	if err := c.send(1, m); err != nil {
		return nil, err
	}
	// The answer to this says that the settles have been taken in.
	return all, c.call(&wire.ChannelClose{ReplyCode: 200}, &wire.ChannelCloseOk{})
}

// show writes a message in JSON.
func (m *got) show(encoding string, truncate *int) gotMessage {
	body := m.body
	j := gotMessage{
		Bytes: len(body), Redelivered: m.Redelivered, Exchange: string(m.Exchange), Key: string(m.RoutingKey), Left: m.MessageCount,
		Properties: describeProperties(&m.properties),
	}
	if truncate != nil && *truncate >= 0 && *truncate < len(body) {
		body = body[:*truncate]
	}
	if encoding == "auto" && utf8.Valid(body) {
		j.Payload, j.Encoding = string(body), "string"
	} else {
		j.Payload, j.Encoding = base64.StdEncoding.EncodeToString(body), "base64"
	}
	return j
}
