package cli

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/polylog-mq/polylog/internal/adminapi"
)

func (a *App) exchangeCommand() *cobra.Command {
	return noun("exchange", "Create, list, describe and delete exchanges",
		a.exchangeCreate(), a.exchangeList(), a.exchangeDescribe(), a.exchangeDelete())
}

func (a *App) exchangeCreate() *cobra.Command {
	var c adminClient
	var n adminapi.NewExchange
	var texts []string
	var transient bool
	cmd := &cobra.Command{
		Use: "create NAME...", Short: "Create exchanges", Args: arguments(1, -1),
		Example: "  polylog exchange create orders --type topic --argument alternate-exchange=unrouted",
		RunE: func(cmd *cobra.Command, names []string) (err error) {
			if n.Arguments, err = parseArguments(texts); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			n.Durable = !transient
			for _, name := range names {
				if err := c.ask(cmd.Context(), "PUT", c.path("exchanges", name, ""), n, nil); err != nil {
					return err
				}
				fmt.Fprintf(a.Out, "exchange %s created\n", name)
			}
			return nil
		},
	}
	f := cmd.Flags()
	argumentFlag(cmd, &texts)
	f.StringVarP(&n.Type, "type", "t", "direct", "direct, fanout, topic, headers, x-consistent-hash or x-delayed-message")
	f.BoolVar(&n.AutoDelete, "auto-delete", false, "the exchange goes with its last binding")
	f.BoolVar(&n.Internal, "internal", false, "clients cannot publish to it")
	f.BoolVar(&transient, "transient", false, "the exchange ends when the server does")
	return vhostFlag(a.adminFlags(cmd, &c), &c)
}

func (a *App) exchangeList() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{
		Use: "list", Short: "List all exchanges", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			exchanges := []adminapi.Exchange{}
			if err := c.ask(cmd.Context(), "GET", c.path("exchanges", "", ""), nil, &exchanges); err != nil {
				return err
			}
			return a.show(exchanges, func(w io.Writer, wide bool) error { return writeExchanges(w, exchanges, wide) })
		},
	}
	return a.formatFlag(vhostFlag(a.adminFlags(cmd, &c), &c))
}

func (a *App) exchangeDescribe() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{
		Use: "describe NAME", Short: "Show an exchange", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, names []string) error {
			var x adminapi.Exchange
			if err := c.ask(cmd.Context(), "GET", c.path("exchanges", names[0], ""), nil, &x); err != nil {
				return err
			}
			return a.show(x, func(w io.Writer, _ bool) error { return writeExchanges(w, []adminapi.Exchange{x}, true) })
		},
	}
	return a.formatFlag(vhostFlag(a.adminFlags(cmd, &c), &c))
}

func writeExchanges(w io.Writer, exchanges []adminapi.Exchange, wide bool) error {
	columns := []string{"NAME", "TYPE"}
	if wide {
		columns = append(columns, "FEATURES", "ARGUMENTS")
	}
	t := newTable(w, columns...)
	for i := range exchanges {
		x := &exchanges[i]
		name := x.Name
		if name == "" {
			name = "(default)"
		}
		cells := []any{name, x.Type}
		if wide {
			features := listed(yes("durable", x.Durable), yes("auto-delete", x.AutoDelete), yes("internal", x.Internal))
			cells = append(cells, features, words(x.Arguments))
		}
		t.row(cells...)
	}
	return t.flush()
}

func (a *App) exchangeDelete() *cobra.Command {
	var c adminClient
	var ifUnused bool
	cmd := &cobra.Command{
		Use: "delete NAME...", Short: "Delete exchanges with their bindings", Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, names []string) error {
			for _, name := range names {
				path := with(c.path("exchanges", name, ""), "if-unused", strconv.FormatBool(ifUnused))
				if err := c.ask(cmd.Context(), "DELETE", path, nil, nil); err != nil {
					return err
				}
				fmt.Fprintf(a.Out, "exchange %s deleted\n", name)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&ifUnused, "if-unused", false, "only if nothing is bound to it")
	return vhostFlag(a.adminFlags(cmd, &c), &c)
}

func (a *App) bindingCommand() *cobra.Command {
	return noun("binding", "Create, list and delete bindings",
		a.bindingChange("create", "Bind queues or exchanges to an exchange", "bindings", "", "bound"), a.bindingList(),
		a.bindingChange("delete", "Remove bindings", "bindings", "remove", "unbound"))
}

// bindingChange is 'create' or 'delete'.
func (a *App) bindingChange(verb, short, noun, action, done string) *cobra.Command {
	var c adminClient
	var b adminapi.Binding
	var texts []string
	var toExchange bool
	cmd := &cobra.Command{
		Use: verb + " EXCHANGE DESTINATION...", Short: short, Args: arguments(2, -1),
		Example: "  polylog binding " + verb + " orders billing --key 'order.*.paid'",
		RunE: func(cmd *cobra.Command, names []string) (err error) {
			if b.Arguments, err = parseArguments(texts); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			b.DestinationType = "queue"
			if toExchange {
				b.DestinationType = "exchange"
			}
			b.Source = names[0]
			path := c.path(noun, "", action)
			for _, b.Destination = range names[1:] {
				if err := c.ask(cmd.Context(), "POST", path, b, nil); err != nil {
					return err
				}
				fmt.Fprintf(a.Out, "%s %s %s\n", b.DestinationType, b.Destination, done)
			}
			return nil
		},
	}
	argumentFlag(cmd, &texts)
	cmd.Flags().StringVarP(&b.Key, "key", "k", "", "the routing key, or a topic exchange's pattern")
	cmd.Flags().BoolVar(&toExchange, "to-exchange", false, "the destinations are exchanges")
	return vhostFlag(a.adminFlags(cmd, &c), &c)
}

func (a *App) bindingList() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{
		Use: "list", Short: "List all bindings", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			bindings := []adminapi.Binding{}
			if err := c.ask(cmd.Context(), "GET", c.path("bindings", "", ""), nil, &bindings); err != nil {
				return err
			}
			return a.show(bindings, func(w io.Writer, _ bool) error {
				t := newTable(w, "EXCHANGE", "DESTINATION", "TYPE", "KEY", "ARGUMENTS")
				for i := range bindings {
					b := &bindings[i]
					t.row(b.Source, b.Destination, b.DestinationType, b.Key, words(b.Arguments))
				}
				return t.flush()
			})
		},
	}
	return a.formatFlag(vhostFlag(a.adminFlags(cmd, &c), &c))
}
