package cli

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/polylog-mq/polylog/internal/adminapi"
)

func (a *App) scheduleCommand() *cobra.Command {
	return noun("schedule", "List, cancel and deliver messages that wait for their time", a.scheduleList(),
		a.scheduleChange("cancel", "Cancel scheduled messages: they will never be delivered", "cancelled"),
		a.scheduleChange("now", "Deliver scheduled messages at once", "delivered"))
}

func (a *App) scheduleList() *cobra.Command {
	var c adminClient
	var most int
	cmd := &cobra.Command{
		Use: "list QUEUE", Short: "List the scheduled messages of a queue", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, names []string) error {
			list := []adminapi.Scheduled{}
			path := with(c.path("queues", names[0], "schedule"), "max", strconv.Itoa(most))
			if err := c.ask(cmd.Context(), "GET", path, nil, &list); err != nil {
				return err
			}
			return a.show(list, func(w io.Writer, _ bool) error {
				t := newTable(w, "OFFSET", "AT", "LEVEL")
				for _, x := range list {
					t.row(x.Offset, time.UnixMilli(x.At).UTC().Format(time.RFC3339Nano), x.Level)
				}
				return t.flush()
			})
		},
	}
	cmd.Flags().IntVarP(&most, "num", "n", 100, "how many at most")
	return a.formatFlag(vhostFlag(a.adminFlags(cmd, &c), &c))
}

// scheduleChange is 'cancel' or 'now'.
func (a *App) scheduleChange(verb, short, done string) *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{
		Use: verb + " QUEUE OFFSET...", Short: short, Args: arguments(2, -1),
		Example: "  polylog schedule list reminders\n  polylog schedule " + verb + " reminders 17",
		RunE: func(cmd *cobra.Command, args []string) error {
			list := []adminapi.Scheduled{}
			if err := c.ask(cmd.Context(), "GET", with(c.path("queues", args[0], "schedule"), "max", "100000"), nil, &list); err != nil {
				return err
			}
			for _, text := range args[1:] {
				offset, err := strconv.ParseInt(text, 10, 64)
				if err != nil {
					return usageError{fmt.Errorf("%q is no offset", text), cmd.CommandPath()}
				}
				x, ok := scheduledAt(list, offset)
				if !ok {
					return hinted{fmt.Errorf("message %d of queue %s is not scheduled", offset, args[0]), "'polylog schedule list' shows what is", exitNotFound}
				}
				if err := c.ask(cmd.Context(), "POST", c.path("queues", args[0], "schedule/"+verb), x, nil); err != nil {
					return err
				}
				fmt.Fprintf(a.Out, "message %d of queue %s %s\n", offset, args[0], done)
			}
			return nil
		},
	}
	return vhostFlag(a.adminFlags(cmd, &c), &c)
}

func scheduledAt(list []adminapi.Scheduled, offset int64) (adminapi.Scheduled, bool) {
	for _, x := range list {
		if x.Offset == offset {
			return x, true
		}
	}
	return adminapi.Scheduled{}, false
}

func (a *App) policyCommand() *cobra.Command {
	return noun("policy", "Set, list and delete policies", a.policySet(), a.policyList(), a.policyDelete())
}

// operatorFlag adds --operator.
func operatorFlag(cmd *cobra.Command, on *bool) {
	cmd.Flags().BoolVar(on, "operator", false, "an operator's policies, which limit the others")
}

func (a *App) policySet() *cobra.Command {
	var c adminClient
	var p adminapi.Policy
	var operator bool
	cmd := &cobra.Command{
		Use: "set NAME PATTERN SETTING=VALUE...", Short: "Give queues and exchanges what they do not say themselves", Args: arguments(3, -1),
		Long: "Give the queues and exchanges whose names match a regular expression, somewhere in them, settings that their declarations do not say. " +
			"Of two limits the lower one counts. They obey at once.\n\n" +
			"Settings: " + policySettings + ".",
		Example: "  polylog policy set retries '^work' retry-first-ms=1000 retry-factor=2000 retry-attempts=8 dead-letter-exchange=failed\n" +
			"  polylog policy set limits '.*' max-length=1000000 --operator",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			p.Pattern = args[1]
			if p.Definition, err = parseArguments(args[2:]); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			path := with(c.path("policies", args[0], ""), "operator", strconv.FormatBool(operator))
			if err := c.ask(cmd.Context(), "PUT", path, p, nil); err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "policy %s set\n", args[0])
			return nil
		},
	}
	cmd.Flags().StringVar(&p.ApplyTo, "apply-to", "queues", "queues, classic_queues, quorum_queues, streams, exchanges or all")
	cmd.Flags().Int32Var(&p.Priority, "priority", 0, "of several that match, the one with the highest counts alone")
	operatorFlag(cmd, &operator)
	return vhostFlag(a.adminFlags(cmd, &c), &c)
}

// policySettings are those that do something; RabbitMQ's about how and where it
// stores queues are taken as well.
const policySettings = "message-ttl, expires, max-length, max-length-bytes, overflow, delivery-limit, consumer-timeout, " +
	"dead-letter-exchange, dead-letter-routing-key; max-age and stream-max-segment-size-bytes of streams; retry-first-ms, retry-cap-ms, retry-factor, retry-jitter, " +
	"retry-attempts, rate-limit, in-flight-limit, retention-ms; alternate-exchange of exchanges"

func (a *App) policyList() *cobra.Command {
	var c adminClient
	var operator bool
	cmd := &cobra.Command{
		Use: "list", Short: "List all policies", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			policies := []adminapi.Policy{}
			path := with(c.path("policies", "", ""), "operator", strconv.FormatBool(operator))
			if err := c.ask(cmd.Context(), "GET", path, nil, &policies); err != nil {
				return err
			}
			return a.show(policies, func(w io.Writer, _ bool) error {
				t := newTable(w, "NAME", "PATTERN", "APPLY-TO", "PRIORITY", "DEFINITION")
				for i := range policies {
					p := &policies[i]
					t.row(p.Name, p.Pattern, p.ApplyTo, p.Priority, words(p.Definition))
				}
				return t.flush()
			})
		},
	}
	operatorFlag(cmd, &operator)
	return a.formatFlag(vhostFlag(a.adminFlags(cmd, &c), &c))
}

func (a *App) policyDelete() *cobra.Command {
	var c adminClient
	var operator bool
	cmd := &cobra.Command{
		Use: "delete NAME...", Short: "Delete policies", Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, names []string) error {
			for _, name := range names {
				path := with(c.path("policies", name, ""), "operator", strconv.FormatBool(operator))
				if err := c.ask(cmd.Context(), "DELETE", path, nil, nil); err != nil {
					return err
				}
				fmt.Fprintf(a.Out, "policy %s deleted\n", name)
			}
			return nil
		},
	}
	operatorFlag(cmd, &operator)
	return vhostFlag(a.adminFlags(cmd, &c), &c)
}
