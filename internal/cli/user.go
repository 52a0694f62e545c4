package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/polylog-mq/polylog/internal/adminapi"
)

func (a *App) vhostCommand() *cobra.Command {
	return noun("vhost", "Create, list and delete vhosts", a.vhostCreate(), a.vhostList(),
		a.remove("delete NAME...", "Delete vhosts with all that is in them", "tenants", "vhost"))
}

func (a *App) vhostCreate() *cobra.Command {
	var c adminClient
	var t adminapi.Tenant
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a vhost, or change what is said of it", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, names []string) error {
			t.Name = names[0]
			if err := c.ask(cmd.Context(), "PUT", c.path("tenants", t.Name, ""), t, nil); err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "vhost %s created\n", t.Name)
			return nil
		},
	}
	cmd.Flags().StringVar(&t.Description, "description", "", "what it is for")
	cmd.Flags().StringVar(&t.Tags, "tags", "", "tags, separated by commas")
	return a.adminFlags(cmd, &c)
}

func (a *App) vhostList() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{
		Use: "list", Short: "List all vhosts", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			tenants := []adminapi.Tenant{}
			if err := c.ask(cmd.Context(), "GET", c.path("tenants", "", ""), nil, &tenants); err != nil {
				return err
			}
			return a.show(tenants, func(w io.Writer, _ bool) error {
				t := newTable(w, "NAME", "DESCRIPTION", "TAGS")
				for _, v := range tenants {
					t.row(v.Name, v.Description, v.Tags)
				}
				return t.flush()
			})
		},
	}
	return a.formatFlag(a.adminFlags(cmd, &c))
}

// remove is a verb that deletes what has a name.
func (a *App) remove(use, short, noun, what string) *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{
		Use: use, Short: short, Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, names []string) error {
			for _, name := range names {
				if err := c.ask(cmd.Context(), "DELETE", c.path(noun, name, ""), nil, nil); err != nil {
					return err
				}
				fmt.Fprintf(a.Out, "%s %s deleted\n", what, name)
			}
			return nil
		},
	}
	return a.adminFlags(cmd, &c)
}

func (a *App) userCommand() *cobra.Command {
	return noun("user", "Create, list and delete users", a.userCreate(), a.userList(),
		a.remove("delete NAME...", "Delete users with their permissions", "users", "user"))
}

func (a *App) userCreate() *cobra.Command {
	var c adminClient
	var n adminapi.NewUser
	var keep bool
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a user, or change password and tags", Args: arguments(1, 1),
		Long: "Create a user, or change password and tags of one.\n\nThe password is the first line of the input.",
		Example: "  echo secret | polylog user create app\n" +
			"  polylog permission set app --configure '^app-' --write '.*' --read '.*'",
		RunE: func(cmd *cobra.Command, names []string) error {
			if !keep {
				password, err := a.password(cmd.Context())
				if err != nil {
					return usageError{err, cmd.CommandPath()}
				}
				n.Password = &password
			}
			if err := c.ask(cmd.Context(), "PUT", c.path("users", names[0], ""), n, nil); err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "user %s created\n", names[0])
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&n.Tags, "tag", nil, "a tag, such as administrator; can be given several times")
	cmd.Flags().BoolVar(&keep, "keep-password", false, "read no password: leave it as it is")
	return a.adminFlags(cmd, &c)
}

// password reads the first line of the input, and shows nothing of what a person
// types.
func (a *App) password(ctx context.Context) (string, error) {
	if f, ok := a.In.(*os.File); ok && terminal(f) {
		fmt.Fprint(a.Err, "password: ")
		defer a.unseen(f)()
	}
	line, err := bufio.NewReader(until{ctx, a.In}).ReadString('\n')
	if line = strings.TrimRight(line, "\r\n"); line != "" && ctx.Err() == nil {
		return line, nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return "", errors.New("the input has no password")
}

// unseen keeps a terminal from showing what is typed, where the system has stty,
// until the function that it returns is called.
func (a *App) unseen(f *os.File) (seen func()) {
	stty := func(echo string) error {
		cmd := exec.Command("stty", echo)
		cmd.Stdin = f
		return cmd.Run()
	}
	if stty("-echo") != nil {
		return func() {}
	}
	return func() {
		_ = stty("echo")    // there is nothing else to try
		fmt.Fprintln(a.Err) // Enter was not shown either
	}
}

func (a *App) userList() *cobra.Command {
	return a.users("list", "List all users", func(w io.Writer, users []adminapi.User) error {
		t := newTable(w, "NAME", "TAGS", "VHOSTS")
		for _, u := range users {
			var vhosts []string
			for _, p := range u.Permissions {
				vhosts = append(vhosts, p.Tenant)
			}
			t.row(u.Name, strings.Join(u.Tags, ","), strings.Join(vhosts, ","))
		}
		return t.flush()
	})
}

// users is a verb that shows users.
func (a *App) users(use, short string, people func(io.Writer, []adminapi.User) error) *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{
		Use: use, Short: short, Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			users := []adminapi.User{}
			if err := c.ask(cmd.Context(), "GET", c.path("users", "", ""), nil, &users); err != nil {
				return err
			}
			return a.show(users, func(w io.Writer, _ bool) error { return people(w, users) })
		},
	}
	return a.formatFlag(a.adminFlags(cmd, &c))
}

func (a *App) permissionCommand() *cobra.Command {
	return noun("permission", "Set, list and clear what users may do", a.permissionSet(), a.permissionClear(),
		a.users("list", "List what users may do", func(w io.Writer, users []adminapi.User) error {
			t := newTable(w, "USER", "VHOST", "CONFIGURE", "WRITE", "READ")
			for _, u := range users {
				for _, p := range u.Permissions {
					t.row(u.Name, p.Tenant, p.Configure, p.Write, p.Read)
				}
			}
			return t.flush()
		}))
}

func (a *App) permissionSet() *cobra.Command {
	var c adminClient
	var p adminapi.Permission
	cmd := &cobra.Command{
		Use: "set USER", Short: "Say what a user may do in a vhost", Args: arguments(1, 1),
		Long: "Say what a user may do in a vhost: with queues and exchanges whose names match, somewhere in them, " +
			"a regular expression. The empty one matches nothing.",
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := c.ask(cmd.Context(), "PUT", c.path("users", names[0], "permission"), p, nil); err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "permissions of user %s set in vhost %s\n", names[0], c.tenant)
			return nil
		},
	}
	cmd.Flags().StringVar(&p.Configure, "configure", ".*", "what it may declare, delete and bind")
	cmd.Flags().StringVar(&p.Write, "write", ".*", "what it may publish to")
	cmd.Flags().StringVar(&p.Read, "read", ".*", "what it may consume from")
	return vhostFlag(a.adminFlags(cmd, &c), &c)
}

func (a *App) permissionClear() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{
		Use: "clear USER", Short: "Take all that a user may do in a vhost", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := c.ask(cmd.Context(), "DELETE", c.path("users", names[0], "permission"), nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "permissions of user %s cleared in vhost %s\n", names[0], c.tenant)
			return nil
		},
	}
	return vhostFlag(a.adminFlags(cmd, &c), &c)
}
