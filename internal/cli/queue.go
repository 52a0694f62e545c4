package cli

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/polylog-mq/polylog/internal/adminapi"
)

func (a *App) queueCommand() *cobra.Command {
	return noun("queue", "Create, list, describe, delete, purge, peek and redrive queues",
		a.queueCreate(), a.queueList(), a.queueDescribe(), a.queueDelete(), a.queuePurge(), a.queuePeek(), a.queueRedrive())
}

// queueArguments are the flags of 'queue create' that stand for arguments.
type queueArguments struct {
	texts                                 []string
	ttl, expires                          time.Duration
	maxLength, deliveryLimit, maxPriority int64
	deadLetterQueue, deadLetterExchange   string
	singleActive, transient, autoDelete   bool
}

func (q *queueArguments) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	argumentFlag(cmd, &q.texts)
	f.DurationVar(&q.ttl, "ttl", 0, "how long messages wait at most (x-message-ttl)")
	f.DurationVar(&q.expires, "expires", 0, "after how long without use the queue goes (x-expires)")
	f.Int64Var(&q.maxLength, "max-length", -1, "how many messages wait at most (x-max-length); -1: any number")
	f.Int64Var(&q.maxPriority, "max-priority", 0, "number of priority levels above 0 (x-max-priority)")
	f.Int64Var(&q.deliveryLimit, "delivery-limit", -1, "after how many returns a message dies (x-delivery-limit); -1: never")
	f.StringVar(&q.deadLetterQueue, "dead-letter-queue", "", "the queue that gets what dies")
	f.StringVar(&q.deadLetterExchange, "dead-letter-exchange", "", "the exchange that gets what dies (x-dead-letter-exchange)")
	f.BoolVar(&q.singleActive, "single-active-consumer", false, "serve one consumer at a time (x-single-active-consumer)")
	f.BoolVar(&q.transient, "transient", false, "the queue ends when the server does")
	f.BoolVar(&q.autoDelete, "auto-delete", false, "the queue goes with its last consumer")
	cmd.MarkFlagsMutuallyExclusive("dead-letter-queue", "dead-letter-exchange")
}

// arguments returns what the flags say as AMQP's arguments.
func (q *queueArguments) arguments() (adminapi.Arguments, error) {
	args, err := parseArguments(q.texts)
	if err != nil {
		return nil, err
	}
	for _, n := range []struct {
		name  string
		given bool
		value any
	}{
		{"x-message-ttl", q.ttl > 0, q.ttl.Milliseconds()}, {"x-expires", q.expires > 0, q.expires.Milliseconds()},
		{"x-max-length", q.maxLength >= 0, q.maxLength}, {"x-max-priority", q.maxPriority > 0, q.maxPriority},
		{"x-delivery-limit", q.deliveryLimit >= 0, q.deliveryLimit}, {"x-single-active-consumer", q.singleActive, true},
		{"x-dead-letter-exchange", q.deadLetterExchange != "" || q.deadLetterQueue != "", q.deadLetterExchange},
		{"x-dead-letter-routing-key", q.deadLetterQueue != "", q.deadLetterQueue},
	} {
		if n.given {
			args[n.name] = n.value
		}
	}
	return args, nil
}

func (a *App) queueCreate() *cobra.Command {
	var c adminClient
	var q queueArguments
	cmd := &cobra.Command{
		Use: "create NAME...", Short: "Create queues", Args: arguments(1, -1),
		Long: "Create queues.\n\nA queue that exists already, with the same settings, is no error.",
		Example: "  polylog queue create failed\n" +
			"  polylog queue create work --dead-letter-queue failed --delivery-limit 5 --max-priority 9",
		RunE: func(cmd *cobra.Command, names []string) error {
			args, err := q.arguments()
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			n := adminapi.NewQueue{Durable: !q.transient, AutoDelete: q.autoDelete, Arguments: args}
			for _, name := range names {
				if err := c.ask(cmd.Context(), "PUT", c.path("queues", name, ""), n, nil); err != nil {
					return err
				}
				fmt.Fprintf(a.Out, "queue %s created\n", name)
			}
			return nil
		},
	}
	q.flags(cmd)
	return vhostFlag(a.adminFlags(cmd, &c), &c)
}

func (a *App) queueList() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{
		Use: "list", Short: "List all queues", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			queues := []adminapi.Queue{}
			if err := c.ask(cmd.Context(), "GET", c.path("queues", "", ""), nil, &queues); err != nil {
				return err
			}
			return a.show(queues, func(w io.Writer, wide bool) error { return writeQueues(w, queues, wide) })
		},
	}
	return a.formatFlag(vhostFlag(a.adminFlags(cmd, &c), &c))
}

func writeQueues(w io.Writer, queues []adminapi.Queue, wide bool) error {
	columns := []string{"NAME", "READY", "UNACKED", "CONSUMERS"}
	if wide {
		columns = append(columns, "SCHEDULED", "DYING", "BYTES", "FEATURES", "ARGUMENTS")
	}
	t := newTable(w, columns...)
	for i := range queues {
		q := &queues[i]
		cells := []any{q.Name, q.Ready, q.Unacked, q.Consumers}
		if wide {
			features := listed(yes("durable", q.Durable), yes("auto-delete", q.AutoDelete), yes("exclusive", q.Exclusive))
			cells = append(cells, q.Scheduled, q.Dying, q.Bytes, features, words(q.Arguments))
		}
		t.row(cells...)
	}
	return t.flush()
}

func (a *App) queueDescribe() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{
		Use: "describe NAME", Short: "Show a queue's settings and counts", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, names []string) error {
			var q adminapi.Queue
			if err := c.ask(cmd.Context(), "GET", c.path("queues", names[0], ""), nil, &q); err != nil {
				return err
			}
			return a.show(q, func(w io.Writer, _ bool) error { return writeQueue(w, &q) })
		},
	}
	return a.formatFlag(vhostFlag(a.adminFlags(cmd, &c), &c))
}

func writeQueue(w io.Writer, q *adminapi.Queue) error {
	t := newTable(w, "name", q.Name)
	for _, row := range [][2]any{
		{"vhost", q.Tenant}, {"features", listed(yes("durable", q.Durable), yes("auto-delete", q.AutoDelete), yes("exclusive", q.Exclusive))},
		{"arguments", words(q.Arguments)}, {"ready", q.Ready}, {"unacked", q.Unacked}, {"scheduled", q.Scheduled}, {"dying", q.Dying},
		{"bytes", q.Bytes}, {"consumers", q.Consumers}, {"published", q.Published}, {"delivered", q.Delivered},
		{"redelivered", q.Redelivered}, {"settled", q.Settled}, {"offsets", fmt.Sprintf("%d to %d", q.FirstOffset, q.NextOffset)},
	} {
		t.row(row[0], row[1])
	}
	return t.flush()
}

func (a *App) queueDelete() *cobra.Command {
	var c adminClient
	var ifUnused, ifEmpty bool
	cmd := &cobra.Command{
		Use: "delete NAME...", Short: "Delete queues with their messages", Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, names []string) error {
			for _, name := range names {
				path := with(with(c.path("queues", name, ""), "if-unused", strconv.FormatBool(ifUnused)), "if-empty", strconv.FormatBool(ifEmpty))
				var n adminapi.Count
				if err := c.ask(cmd.Context(), "DELETE", path, nil, &n); err != nil {
					return err
				}
				fmt.Fprintf(a.Out, "queue %s deleted, with %s\n", name, plural(int(n.Messages), "message"))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&ifUnused, "if-unused", false, "only if it has no consumers")
	cmd.Flags().BoolVar(&ifEmpty, "if-empty", false, "only if it has no messages")
	return vhostFlag(a.adminFlags(cmd, &c), &c)
}

func (a *App) queuePurge() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{
		Use: "purge NAME...", Short: "Settle all messages of queues that nobody works on", Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, names []string) error {
			for _, name := range names {
				var n adminapi.Count
				if err := c.ask(cmd.Context(), "POST", c.path("queues", name, "purge"), nil, &n); err != nil {
					return err
				}
				fmt.Fprintf(a.Out, "queue %s purged of %s\n", name, plural(int(n.Messages), "message"))
			}
			return nil
		},
	}
	return vhostFlag(a.adminFlags(cmd, &c), &c)
}

func (a *App) queuePeek() *cobra.Command {
	var c adminClient
	var most int
	cmd := &cobra.Command{
		Use: "peek NAME", Short: "Show the first messages of a queue", Args: arguments(1, 1),
		Long: "Show the first messages of a queue.\n\nThey are taken and given back: they keep their places, and are marked as redelivered.",
		RunE: func(cmd *cobra.Command, names []string) error {
			messages := []adminapi.Message{}
			path := with(c.path("queues", names[0], "peek"), "max", strconv.Itoa(most))
			if err := c.ask(cmd.Context(), "POST", path, nil, &messages); err != nil {
				return err
			}
			return a.show(messages, func(w io.Writer, wide bool) error { return writeMessages(w, messages, wide) })
		},
	}
	cmd.Flags().IntVarP(&most, "num", "n", 10, "how many at most")
	return a.formatFlag(vhostFlag(a.adminFlags(cmd, &c), &c))
}

func writeMessages(w io.Writer, messages []adminapi.Message, wide bool) error {
	columns := []string{"OFFSET", "TIME", "VALUE"}
	if wide {
		columns = []string{"OFFSET", "TIME", "LEVEL", "REDELIVERED", "ATTEMPTS", "HEADERS", "VALUE"}
	}
	t := newTable(w, columns...)
	for i := range messages {
		m := &messages[i]
		at := ""
		if m.Timestamp >= 0 {
			at = time.UnixMilli(m.Timestamp).UTC().Format(time.RFC3339)
		}
		if !wide {
			t.row(m.Offset, at, legible(m.Value))
			continue
		}
		var headers []string
		for _, h := range m.Headers {
			headers = append(headers, h.Key+"="+legible(h.Value))
		}
		t.row(m.Offset, at, m.Level, m.Redelivered, m.Attempts, listed(headers...), legible(m.Value))
	}
	return t.flush()
}

// legible writes bytes on one line.
func legible(b *adminapi.Bytes) string {
	switch {
	case b == nil:
		return ""
	case b.Base64 != nil:
		return "base64:" + base64.StdEncoding.EncodeToString(b.Base64)
	}
	if quoted := strconv.Quote(b.Text); quoted != `"`+b.Text+`"` {
		return quoted
	}
	return b.Text
}

func (a *App) queueRedrive() *cobra.Command {
	var c adminClient
	var r adminapi.Redrive
	cmd := &cobra.Command{
		Use: "redrive NAME --to QUEUE", Short: "Move the messages of a dead letter queue back to work", Args: arguments(1, 1),
		Long: "Move the messages of a queue to the end of another, as they are.\n\n" +
			"A message leaves the one when it is committed in the other: whatever happens, it is in one of them.",
		RunE: func(cmd *cobra.Command, names []string) error {
			if r.To == "" {
				return usageError{errors.New("--to says which queue they go to"), cmd.CommandPath()}
			}
			var n adminapi.Count
			if err := c.ask(cmd.Context(), "POST", c.path("queues", names[0], "redrive"), r, &n); err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "%s moved from queue %s to %s\n", plural(int(n.Messages), "message"), names[0], r.To)
			return nil
		},
	}
	cmd.Flags().StringVar(&r.To, "to", "", "the queue that they go to")
	cmd.Flags().Int64VarP(&r.Max, "num", "n", 0, "how many at most; 0: all")
	return vhostFlag(a.adminFlags(cmd, &c), &c)
}
