// Package cli is the command line: the server and the tools around it, in one
// binary. The tools speak only public protocols, so they work against a remote
// server, and against others that speak Kafka.
//
// Every command is "noun verb". Answers go to stdout, in the form that --format
// asks for; what went wrong, and what to do about it, goes to stderr. The exit
// codes in errors.go are stable.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/polylog-mq/polylog/internal/cli/kafkaclient"
	"github.com/polylog-mq/polylog/internal/config"
	"github.com/polylog-mq/polylog/internal/server"
)

// App is what the command line runs in.
type App struct {
	Version string
	// Name is how the program was started ("./bin/polylog"); default "polylog".
	Name string
	In   io.Reader
	Out  io.Writer
	Err  io.Writer
	// Environ holds the environment as "NAME=value".
	Environ []string
	// HTTP makes the handler that a server mounts on http.listen.
	HTTP func(*server.Server) http.Handler

	format  string
	brokers []string
	secured secured
	timeout time.Duration
}

// Run executes one command line (without the program's name) and returns the
// exit code. It ends early, in good order, when ctx is done.
func (a *App) Run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	message, hint, code := explain(err)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	fmt.Fprintf(a.Err, "polylog: %s\n", message)
	if hint != "" {
		fmt.Fprintf(a.Err, "  %s\n", hint)
	}
	return code
}

func (a *App) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "polylog",
		Short: "One durable log. Every messaging protocol.",
		Long: "One durable log. Every messaging protocol.\n\n" +
			"Start a server with no configuration:   polylog serve\n" +
			"and in another terminal:                echo hello | polylog produce greetings\n" +
			"                                        polylog consume greetings",
		Args:          cobra.ArbitraryArgs,
		RunE:          needVerb,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(flagError)
	root.SuggestionsMinimumDistance = 2
	root.AddCommand(
		a.serveCommand(), a.topicCommand(), a.produceCommand(), a.consumeCommand(), a.groupCommand(), a.benchCommand(),
		a.queueCommand(), a.exchangeCommand(), a.bindingCommand(), a.vhostCommand(), a.userCommand(), a.permissionCommand(),
		a.scheduleCommand(), a.policyCommand(), a.definitionsCommand(),
		a.configCommand(), a.debugCommand(), a.versionCommand(),
	)
	return root
}

// flagError says which flag was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		if near := config.Nearest(unknown.GetSpecifiedName(), known); near != "" {
			err = fmt.Errorf("%w; did you mean --%s?", err, near)
		}
	}
	return usageError{err, cmd.CommandPath()}
}

// noun returns a command that only groups verbs.
func noun(use, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: needVerb}
	cmd.AddCommand(verbs...)
	return cmd
}

// needVerb runs when a noun stands alone (that is a question) or is followed
// by a verb that it does not have.
func needVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	err := fmt.Errorf("there is no '%s %s'", cmd.CommandPath(), args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean '%s %s'?", err, cmd.CommandPath(), near[0])
	}
	return usageError{err, cmd.CommandPath()}
}

// arguments checks the number of arguments; most is -1 for no limit.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			takes := strings.TrimPrefix(cmd.UseLine(), cmd.CommandPath()+" ")
			if most == 0 {
				takes = "no arguments"
			}
			return usageError{fmt.Errorf("%s takes %s", cmd.CommandPath(), takes), cmd.CommandPath()}
		}
		return nil
	}
}

const (
	defaultBrokers = "127.0.0.1:9092"
	brokersEnv     = "POLYLOG_BROKERS"
)

// clientFlags adds the flags of commands that speak to a server.
func (a *App) clientFlags(cmd *cobra.Command) *cobra.Command {
	brokers := defaultBrokers
	for _, kv := range a.Environ {
		if v, ok := strings.CutPrefix(kv, brokersEnv+"="); ok && v != "" {
			brokers = v
		}
	}
	cmd.Flags().StringSliceVarP(&a.brokers, "brokers", "b", strings.Split(brokers, ","), "Kafka addresses of the server, host:port; also "+brokersEnv)
	cmd.Flags().DurationVar(&a.timeout, "timeout", 10*time.Second, "how long to wait for the server, retries included")
	a.tlsFlags(cmd, &a.secured)
	return cmd
}

// formatFlag adds --format for commands that show a list or an object.
func (a *App) formatFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVarP(&a.format, "format", "o", formatText, "how to show it: text, wide, json or yaml")
	offers(cmd, "format", formatText, formatWide, formatJSON, formatYAML)
	return cmd
}

// connect reaches the server.
func (a *App) connect(ctx context.Context) (*kafkaclient.Client, error) {
	secure, err := a.secured.config()
	if err != nil {
		return nil, err
	}
	return kafkaclient.Connect(ctx, kafkaclient.Options{Brokers: a.brokers, ClientID: "polylog-cli", Timeout: a.timeout, TLS: secure})
}

// withClient runs fn with a connected client.
func (a *App) withClient(ctx context.Context, fn func(*kafkaclient.Client) error) error {
	client, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	return fn(client)
}

// until reads from r until ctx ends: a read of a terminal waits for a person, who
// may rather have pressed Ctrl-C. That read goes on, and nobody hears of it.
type until struct {
	ctx context.Context
	r   io.Reader
}

func (u until) Read(p []byte) (int, error) {
	type outcome struct {
		n   int
		err error
	}
	own, read := make([]byte, len(p)), make(chan outcome, 1)
	go func() {
		n, err := u.r.Read(own)
		read <- outcome{n, err}
	}()
	select {
	case <-u.ctx.Done():
		return 0, u.ctx.Err()
	case o := <-read:
		return copy(p, own[:o.n]), o.err
	}
}

// terminal reports whether a stream is one that a person looks at.
func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
