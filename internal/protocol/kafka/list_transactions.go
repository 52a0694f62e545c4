package kafka

import (
	"regexp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/txn"
)

// ListTransactions, key 66, versions 0-2.
//
// Lists the transactional ids that this node coordinates and that the caller may
// see: all, or those in certain states, of certain producers, whose transaction
// has been under way for longer than so many ms (version 1), or whose id matches a
// pattern (version 2, KIP-1152).

func listTransactions(c *call, req *kmsg.ListTransactionsRequest) {
	resp := kmsg.NewPtrListTransactionsResponse()
	f := txnFilter{req: req}
	for _, name := range req.StateFilters {
		if p, ok := phaseOf(name); ok {
			f.phases = append(f.phases, p)
		} else {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, name)
		}
	}
	if pattern := orEmpty(req.TransactionalIDPattern); pattern != "" {
		var err error
		if f.pattern, err = regexp.Compile("^(?:" + pattern + ")$"); err != nil {
			resp.ErrorCode = errInvalidRegularExpression
			c.reply(resp)
			return
		}
	}
	f.now = c.server.opts.Clock.Now().UnixMilli()
	c.server.opts.Broker.ListTransactions(func(found []txn.Description, err error) {
		resp.ErrorCode = coordinatorCode(err)
		for i := range found {
			d := &found[i]
			if !c.allows(access.Describe, access.TransactionalID, d.ID) || !f.takes(d) {
				continue
			}
			s := kmsg.NewListTransactionsResponseTransactionState()
			s.TransactionalID, s.ProducerID, s.TransactionState = d.ID, d.Producer, d.Phase.String()
			resp.TransactionStates = append(resp.TransactionStates, s)
		}
		c.reply(resp)
	})
}

// txnFilter is what a request wants to see.
type txnFilter struct {
	req     *kmsg.ListTransactionsRequest
	phases  []txn.Phase
	pattern *regexp.Regexp // nil: any
	now     int64
}

func (f *txnFilter) takes(d *txn.Description) bool {
	long := f.req.DurationFilterMillis
	switch {
	case len(f.req.StateFilters) > 0 && !slices.Contains(f.phases, d.Phase):
	case len(f.req.ProducerIDFilters) > 0 && !slices.Contains(f.req.ProducerIDFilters, d.Producer):
	case f.req.Version >= 1 && long >= 0 && (d.Started < 0 || f.now-int64(d.Started) <= long):
	case f.pattern != nil && !f.pattern.MatchString(d.ID):
	default:
		return true
	}
	return false
}

// phaseOf returns the phase that Kafka calls name.
func phaseOf(name string) (txn.Phase, bool) {
	for p := txn.Empty; p <= txn.Dead; p++ {
		if p.String() == name {
			return p, true
		}
	}
	return 0, name == "PrepareEpochFence"
}
