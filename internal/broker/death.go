package broker

import (
	"encoding/json"
	"fmt"

	"github.com/polylog-mq/polylog/internal/record"
)

// The headers of a record that the broker itself reads and writes
// (docs/protocol/mapping.md).
const (
	// HeaderDeaths holds the record's history of dead-lettering, as JSON. It
	// stands before all others.
	HeaderDeaths = "polylog.deaths"
	// HeaderExchange and HeaderRoutingKey say how AMQP has routed the record.
	HeaderExchange   = "amqp.exchange"
	HeaderRoutingKey = "amqp.routing-key"
	// HeaderProperties is AMQP's properties as on the wire, flags first, and
	// HeaderBlindCopies the routing keys of the BCC header, which is not among
	// them: a JSON array.
	HeaderProperties  = "amqp.properties"
	HeaderBlindCopies = "amqp.bcc"
)

// Death says that a record has died in a queue for a reason, once or more often.
// A record's history has the latest first, and each (queue, reason) once.
type Death struct {
	Queue  string `json:"queue"`
	Reason string `json:"reason"` // rejected, expired, maxlen, delivery_limit
	Count  int64  `json:"count"`
	// Time is that of the first death, in ms since the Unix epoch.
	Time int64 `json:"time"`
	// Exchange and Keys are where the record was published before it came to the
	// queue.
	Exchange string   `json:"exchange"`
	Keys     []string `json:"routing-keys"`
	// Rekeyed says that the record then got another key in place of these.
	Rekeyed bool `json:"rekeyed,omitempty"`
}

// Deaths returns a record's history of dead-lettering, nil if it has none.
func Deaths(r *record.Record) ([]Death, error) {
	value, ok := r.Headers.Get(HeaderDeaths)
	if !ok {
		return nil, nil
	}
	var history []Death
	if err := json.Unmarshal(value, &history); err != nil {
		return nil, fmt.Errorf("%w: the header %s: %w", ErrInvalidRecord, HeaderDeaths, err)
	}
	return history, nil
}

// die adds a death to a history.
func die(history []Death, d Death) []Death {
	for i, old := range history {
		if old.Queue == d.Queue && old.Reason == d.Reason {
			d.Count, d.Time = old.Count+1, old.Time
			d.Exchange, d.Keys, d.Rekeyed = old.Exchange, old.Keys, old.Rekeyed || d.Rekeyed
			history = append(history[:i:i], history[i+1:]...)
			break
		}
	}
	return append([]Death{d}, history...)
}

// cycles reports whether a record that has died so often would come to a queue
// again without anybody having rejected it on the way: it is dropped then, or it
// would go round for ever.
func cycles(history []Death, queue string) bool {
	for _, d := range history {
		if d.Reason == "rejected" {
			return false
		}
		if d.Queue == queue {
			return true
		}
	}
	return false
}

// buried returns the record to publish in place of one that has died.
func buried(r *record.Record, history []Death, exchange, key []byte) (record.Record, error) {
	value, err := json.Marshal(history)
	if err != nil {
		return record.Record{}, fmt.Errorf("writing the history of a dead letter: %w", err)
	}
	out := record.Record{Timestamp: r.Timestamp, Key: r.Key, Value: r.Value}
	out.Headers.Add(HeaderDeaths, value)
	for name, value := range r.Headers.All() {
		switch string(name) {
		case HeaderDeaths:
			continue
		case HeaderExchange:
			value = exchange
		case HeaderRoutingKey:
			value = key
		case HeaderBlindCopies:
			if history[0].Rekeyed {
				continue
			}
		}
		out.Headers.Add(string(name), value)
	}
	return out, nil
}
