package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/polylog-mq/polylog/internal/cli/kafkaclient"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// completionTimeout bounds how long a press of the tab key may take.
const completionTimeout = 2 * time.Second

// completeTopics offers the names of topics for every argument.
func (a *App) completeTopics(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.names(cmd, func(ctx context.Context, c *kafkaclient.Client) (names []string, err error) {
		cluster, err := c.Metadata(ctx)
		if err != nil {
			return nil, err
		}
		for _, t := range cluster.Topics {
			names = append(names, t.Name)
		}
		return names, nil
	})
}

// completeGroups offers the names of groups for every argument.
func (a *App) completeGroups(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.names(cmd, func(ctx context.Context, c *kafkaclient.Client) (names []string, err error) {
		groups, err := c.Groups(ctx)
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			names = append(names, g.Name)
		}
		return names, nil
	})
}

// completeFlag completes a flag, which must be there.
func completeFlag(cmd *cobra.Command, flag string, names cobra.CompletionFunc) {
	_ = cmd.RegisterFlagCompletionFunc(flag, names)
}

// completeSettings offers the names of the settings of topics, as --reset wants
// them, and completeAssignments as --config does.
func completeSettings(*cobra.Command, []string, string) (names []string, _ cobra.ShellCompDirective) {
	for d := range topic.ConfigDefs() {
		names = append(names, d.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func completeAssignments(*cobra.Command, []string, string) (names []string, _ cobra.ShellCompDirective) {
	for d := range topic.ConfigDefs() {
		names = append(names, d.Name+"=")
	}
	return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeOneTopic offers topics for the first argument and files for the rest.
func (a *App) completeOneTopic(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return a.completeTopics(cmd, args, typed)
}

// names asks the server for names to complete with. Without a server there are
// none.
func (a *App) names(cmd *cobra.Command, ask func(context.Context, *kafkaclient.Client) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	a.timeout = min(a.timeout, completionTimeout)
	var names []string
	err := a.withClient(cmd.Context(), func(c *kafkaclient.Client) (err error) {
		names, err = ask(cmd.Context(), c)
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// offers completes a flag with fixed words.
func offers(cmd *cobra.Command, flag string, words ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

// codecs returns the names of the compressions.
func codecs() (names []string) {
	for c := record.None; c <= record.Zstd; c++ {
		names = append(names, c.String())
	}
	return names
}
