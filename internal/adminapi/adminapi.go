// Package adminapi is the words of the server's own HTTP API under /v1/: what it
// takes and answers, as JSON. The server (internal/admin) and the command line
// (internal/cli) share them and nothing else.
//
// Every path below takes the query parameter tenant, "/" if it is missing, where
// it is about something in a tenant:
//
//	GET             /v1/queues                 []Queue
//	GET PUT DELETE  /v1/queues/{name}          Queue; NewQueue; ?if-unused=true&if-empty=true
//	POST            /v1/queues/{name}/purge    Count
//	POST            /v1/queues/{name}/peek     ?max=10, []Message
//	POST            /v1/queues/{name}/redrive  Redrive, Count
//	GET             /v1/queues/{name}/schedule ?from=ms&max=100, []Scheduled
//	POST            /v1/queues/{name}/schedule/cancel, /now  Scheduled
//	GET             /v1/policies               ?operator=true, []Policy
//	PUT DELETE      /v1/policies/{name}        ?operator=true, Policy
//	GET             /v1/exchanges              []Exchange
//	GET PUT DELETE  /v1/exchanges/{name}       Exchange; NewExchange; ?if-unused=true
//	GET POST        /v1/bindings               []Binding; Binding
//	POST            /v1/bindings/remove        Binding
//	GET             /v1/tenants                []Tenant
//	PUT DELETE      /v1/tenants/{name}         Tenant
//	GET             /v1/users                  []User
//	PUT DELETE      /v1/users/{name}           NewUser
//	PUT DELETE      /v1/users/{name}/permission  Permission
//
// A name that a path cannot hold (with "//", "." or "..", which are cleaned away)
// is given as _ in the path and ?name= beside it.
//
// Errors are a Failure with a status of its kind: 400 the request cannot be, 401
// who asks is not known, 403 may not, 404 there is no such thing, 409 it is
// otherwise or in use, 503 not now.
package adminapi

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Failure is the body of every error.
type Failure struct {
	Error string `json:"error" yaml:"error"`
}

// Arguments are those of a declaration: texts, numbers, booleans, null, lists and
// objects. Numbers are int64 where they are whole, else float64.
type Arguments map[string]any

// UnmarshalJSON implements json.Unmarshaler.
func (a *Arguments) UnmarshalJSON(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var fields map[string]any
	if err := dec.Decode(&fields); err != nil {
		return fmt.Errorf("arguments: %w", err)
	}
	for name, v := range fields {
		var err error
		if fields[name], err = numbers(v); err != nil {
			return fmt.Errorf("argument %s: %w", name, err)
		}
	}
	*a = fields
	return nil
}

// numbers replaces the numbers in a value by int64 or float64.
func numbers(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		return v.Float64()
	case []any:
		for i := range v {
			if v[i], err = numbers(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for name := range v {
			if v[name], err = numbers(v[name]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// NewQueue describes a queue to declare.
type NewQueue struct {
	Durable    bool      `json:"durable"`
	AutoDelete bool      `json:"autoDelete"`
	Arguments  Arguments `json:"arguments,omitempty"`
}

// Queue is a queue with its counts.
type Queue struct {
	Tenant     string    `json:"tenant" yaml:"tenant"`
	Name       string    `json:"name" yaml:"name"`
	Durable    bool      `json:"durable" yaml:"durable"`
	AutoDelete bool      `json:"autoDelete" yaml:"autoDelete"`
	Exclusive  bool      `json:"exclusive" yaml:"exclusive"`
	Arguments  Arguments `json:"arguments,omitempty" yaml:"arguments,omitempty"`

	Ready     int64 `json:"ready" yaml:"ready"`
	Unacked   int64 `json:"unacked" yaml:"unacked"`
	Scheduled int64 `json:"scheduled" yaml:"scheduled"`
	Dying     int64 `json:"dying" yaml:"dying"`
	Bytes     int64 `json:"bytes" yaml:"bytes"`
	Consumers int64 `json:"consumers" yaml:"consumers"`

	Published   int64 `json:"published" yaml:"published"`
	Delivered   int64 `json:"delivered" yaml:"delivered"`
	Redelivered int64 `json:"redelivered" yaml:"redelivered"`
	Settled     int64 `json:"settled" yaml:"settled"`

	// FirstOffset and NextOffset are those of the log, from which the queue can
	// be replayed.
	FirstOffset int64 `json:"firstOffset" yaml:"firstOffset"`
	NextOffset  int64 `json:"nextOffset" yaml:"nextOffset"`
}

// Count is how many messages an operation concerned.
type Count struct {
	Messages int64 `json:"messages" yaml:"messages"`
}

// Redrive moves messages from a queue to another.
type Redrive struct {
	// To is the queue that they go to, in the same tenant.
	To string `json:"to"`
	// Max is how many at most; 0: all that are ready.
	Max int64 `json:"max"`
}

// Scheduled is a message that waits for its time.
type Scheduled struct {
	At     int64 `json:"at" yaml:"at"` // ms since the Unix epoch
	Offset int64 `json:"offset" yaml:"offset"`
	Level  uint8 `json:"level" yaml:"level"`
}

// Policy gives queues and exchanges what their declarations do not say.
type Policy struct {
	Name    string `json:"name,omitempty" yaml:"name"`
	Pattern string `json:"pattern" yaml:"pattern"`
	// ApplyTo is queues, classic_queues, quorum_queues, streams, exchanges or all.
	ApplyTo    string    `json:"applyTo" yaml:"applyTo"`
	Priority   int32     `json:"priority" yaml:"priority"`
	Definition Arguments `json:"definition" yaml:"definition"`
}

// Message is a message in a queue. Bytes that are not UTF-8 are in base64.
type Message struct {
	Offset      int64    `json:"offset" yaml:"offset"`
	Timestamp   int64    `json:"timestamp" yaml:"timestamp"` // ms since the Unix epoch
	Key         *Bytes   `json:"key" yaml:"key"`
	Value       *Bytes   `json:"value" yaml:"value"`
	Headers     []Header `json:"headers,omitempty" yaml:"headers,omitempty"`
	Level       uint8    `json:"level" yaml:"level"`
	Redelivered bool     `json:"redelivered" yaml:"redelivered"`
	Attempts    int32    `json:"attempts" yaml:"attempts"`
}

// Header is a header of a message.
type Header struct {
	Key   string `json:"key" yaml:"key"`
	Value *Bytes `json:"value" yaml:"value"`
}

// Bytes is text, or bytes in base64.
type Bytes struct {
	Text   string `json:"text,omitempty" yaml:"text,omitempty"`
	Base64 []byte `json:"base64,omitempty" yaml:"base64,omitempty"`
}

// Len returns how many bytes there are; nil has none.
func (b *Bytes) Len() int {
	if b == nil {
		return 0
	}
	return len(b.Text) + len(b.Base64)
}

// NewExchange describes an exchange to declare.
type NewExchange struct {
	Type       string    `json:"type"`
	Durable    bool      `json:"durable"`
	AutoDelete bool      `json:"autoDelete"`
	Internal   bool      `json:"internal"`
	Arguments  Arguments `json:"arguments,omitempty"`
}

// Exchange is an exchange.
type Exchange struct {
	Tenant     string    `json:"tenant" yaml:"tenant"`
	Name       string    `json:"name" yaml:"name"`
	Type       string    `json:"type" yaml:"type"`
	Durable    bool      `json:"durable" yaml:"durable"`
	AutoDelete bool      `json:"autoDelete" yaml:"autoDelete"`
	Internal   bool      `json:"internal" yaml:"internal"`
	Arguments  Arguments `json:"arguments,omitempty" yaml:"arguments,omitempty"`
}

// Binding leads from an exchange to a queue or an exchange.
type Binding struct {
	Source          string    `json:"source" yaml:"source"`
	Destination     string    `json:"destination" yaml:"destination"`
	DestinationType string    `json:"destinationType" yaml:"destinationType"` // queue or exchange
	Key             string    `json:"key" yaml:"key"`
	Arguments       Arguments `json:"arguments,omitempty" yaml:"arguments,omitempty"`
}

// Tenant is a tenant (AMQP: a vhost).
type Tenant struct {
	Name        string `json:"name" yaml:"name"`
	Description string `json:"description,omitempty" yaml:"description,omitempty"`
	Tags        string `json:"tags,omitempty" yaml:"tags,omitempty"` // separated by commas
	QueueType   string `json:"queueType,omitempty" yaml:"queueType,omitempty"`
}

// NewUser describes a user to create or change.
type NewUser struct {
	// Password is a new one; nil leaves what there is.
	Password *string  `json:"password,omitempty"`
	Tags     []string `json:"tags"`
}

// User is a user.
type User struct {
	Name        string       `json:"name" yaml:"name"`
	Tags        []string     `json:"tags" yaml:"tags"`
	Permissions []Permission `json:"permissions" yaml:"permissions"`
}

// Permission is what a user may do in a tenant, with what has a matching name.
type Permission struct {
	Tenant    string `json:"tenant" yaml:"tenant"`
	Configure string `json:"configure" yaml:"configure"`
	Write     string `json:"write" yaml:"write"`
	Read      string `json:"read" yaml:"read"`
}
