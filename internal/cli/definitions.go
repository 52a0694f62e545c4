package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/spf13/cobra"
)

func (a *App) definitionsCommand() *cobra.Command {
	return noun("definitions", "Export and import definitions, in RabbitMQ's form", a.definitionsExport(), a.definitionsImport())
}

// definitionsPath is where RabbitMQ's management API has definitions: all, or
// those of one vhost.
func (c *adminClient) definitionsPath() string {
	if c.tenant == "" {
		return "/api/definitions"
	}
	return "/api/definitions/" + url.PathEscape(c.tenant)
}

func (a *App) definitionsExport() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{
		Use: "export [FILE]", Short: "Write users, vhosts, permissions, policies, exchanges, queues and bindings as JSON", Args: arguments(0, 1),
		Long: "Write users (with the hashes of their passwords), vhosts, permissions, policies, limits, exchanges,\n" +
			"queues and bindings as RabbitMQ's definitions.json: to a file, or to the output. RabbitMQ imports it.",
		Example: "  polylog definitions export definitions.json\n  polylog definitions export --vhost orders > orders.json",
		RunE: func(cmd *cobra.Command, files []string) error {
			var all json.RawMessage
			if err := c.ask(cmd.Context(), "GET", c.definitionsPath(), nil, &all); err != nil {
				return err
			}
			if len(files) == 0 || files[0] == "-" {
				return a.writeDefinitions(a.Out, all)
			}
			f, err := os.OpenFile(files[0], os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // there are hashes of passwords in it
			if err != nil {
				return fmt.Errorf("writing definitions: %w", err)
			}
			err = a.writeDefinitions(f, all)
			if closed := f.Close(); err == nil && closed != nil {
				err = fmt.Errorf("writing definitions: %w", closed)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&c.tenant, "vhost", "", "only what is in this vhost, in a form that any vhost can import")
	return a.managementFlags(cmd, &c)
}

func (a *App) writeDefinitions(w io.Writer, all json.RawMessage) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(all); err != nil {
		return fmt.Errorf("writing definitions: %w", err)
	}
	return nil
}

func (a *App) definitionsImport() *cobra.Command {
	var c adminClient
	var skip bool
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Make everything that a definitions.json defines", Args: arguments(1, 1),
		Long: "Make everything that a definitions.json defines, as RabbitMQ or Polylog exported it; - reads the input.\n\n" +
			"What exists already and is the same stays. What exists and is different is an error, and what came\n" +
			"before it in the file has been made: the import can be repeated. Shovels and federation do not exist\n" +
			"here: a file with them is refused before anything is made, unless --skip-unsupported leaves them out.",
		Example: "  rabbitmqctl export_definitions definitions.json\n  polylog definitions import definitions.json",
		RunE: func(cmd *cobra.Command, files []string) error {
			all, err := a.readDefinitions(cmd.Context(), files[0])
			if err != nil {
				return err
			}
			path := c.definitionsPath()
			if skip {
				path = with(path, "unsupported", "skip")
			}
			if err := c.ask(cmd.Context(), "POST", path, all, nil); err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "imported %s\n", files[0])
			return nil
		},
	}
	cmd.Flags().StringVar(&c.tenant, "vhost", "", "import the definitions of one vhost into this one")
	cmd.Flags().BoolVar(&skip, "skip-unsupported", false, "leave out shovels and federation instead of refusing the file")
	return a.managementFlags(cmd, &c)
}

func (a *App) readDefinitions(ctx context.Context, file string) (json.RawMessage, error) {
	var in io.Reader = until{ctx, a.In}
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("reading definitions: %w", err)
		}
		defer f.Close()
		in = f
	}
	var all json.RawMessage
	if err := json.NewDecoder(in).Decode(&all); err != nil {
		return nil, fmt.Errorf("reading definitions: %s is not JSON: %w", file, err)
	}
	return all, nil
}

// managementFlags are adminFlags for commands that ask RabbitMQ's management API,
// which lets nobody in without a name.
func (a *App) managementFlags(cmd *cobra.Command, c *adminClient) *cobra.Command {
	a.adminFlags(cmd, c)
	u := cmd.Flags().Lookup("user")
	u.Usage = "an administrator's name:password; also " + userEnv
	if c.user == "" {
		c.user = defaultUser
		u.DefValue = defaultUser
	}
	return cmd
}

// defaultUser is the user of a new server, who is let in from its own machine.
const defaultUser = "guest:guest"
