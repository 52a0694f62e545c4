package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/polylog-mq/polylog/internal/cli/kafkaclient"
)

func (a *App) topicAlter() *cobra.Command {
	var partitions int32
	var settings, reset []string
	var dryRun bool
	cmd := &cobra.Command{
		Use: "alter NAME...", Short: "Change settings of topics, or add partitions", Args: arguments(1, -1),
		Example: "  polylog topic alter orders --config retention.ms=3600000\n" +
			"  polylog topic alter orders --reset retention.ms --partitions 24",
		RunE: func(cmd *cobra.Command, names []string) error {
			configs, err := parseSettings(settings)
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			if len(configs)+len(reset) == 0 && partitions == 0 {
				return usageError{fmt.Errorf("nothing to change: give --config, --reset or --partitions"), cmd.CommandPath()}
			}
			return a.withClient(cmd.Context(), func(c *kafkaclient.Client) error {
				for _, name := range names {
					if err := alterTopic(cmd.Context(), c, name, configs, reset, partitions, dryRun); err != nil {
						return about("topic", name, err)
					}
					verb := "changed"
					if dryRun {
						verb = "would be changed"
					}
					fmt.Fprintf(a.Out, "topic %s %s\n", name, verb)
				}
				return nil
			})
		},
	}
	cmd.Flags().StringArrayVarP(&settings, "config", "c", nil, "a setting, name=value; can be given several times")
	cmd.Flags().StringArrayVar(&reset, "reset", nil, "a setting to put back to its default; can be given several times")
	cmd.Flags().Int32VarP(&partitions, "partitions", "p", 0, "the new, larger number of partitions")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only ask whether the server would")
	completeFlag(cmd, "config", completeAssignments)
	completeFlag(cmd, "reset", completeSettings)
	cmd.ValidArgsFunction = a.completeTopics
	return a.clientFlags(cmd)
}

func alterTopic(ctx context.Context, c *kafkaclient.Client, name string, set []kafkaclient.Setting, reset []string, partitions int32, dryRun bool) error {
	if len(set)+len(reset) > 0 {
		if err := c.AlterTopic(ctx, name, set, reset, dryRun); err != nil {
			return err
		}
	}
	if partitions == 0 {
		return nil
	}
	return c.GrowTopic(ctx, name, partitions, dryRun)
}

func (a *App) topicTrim() *cobra.Command {
	var before string
	var only []int32
	var dryRun bool
	cmd := &cobra.Command{
		Use: "trim NAME --before OFFSET", Short: "Delete the oldest records of a topic", Args: arguments(1, 1),
		Example: "  polylog topic trim orders --before @-24h        all that is older than a day\n" +
			"  polylog topic trim orders --before end          everything\n" +
			"  polylog topic trim orders --before 1000 -p 3    what lies before offset 1000 of partition 3",
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := parsePlace(before, time.Now())
			if err != nil {
				return usageError{fmt.Errorf("--before %q is none of start, end, N, +N, -N, @TIME", before), cmd.CommandPath()}
			}
			return a.withClient(cmd.Context(), func(c *kafkaclient.Client) error {
				return about("topic", args[0], a.trim(cmd.Context(), c, args[0], at, only, dryRun))
			})
		},
	}
	cmd.Flags().StringVar(&before, "before", "", "the first offset to keep: end, N, +N (after the first), -N (before the end) or @TIME")
	_ = cmd.MarkFlagRequired("before") // the flag is there
	cmd.Flags().Int32SliceVarP(&only, "partition", "p", nil, "only these partitions")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be deleted")
	cmd.ValidArgsFunction = a.completeTopics
	return a.clientFlags(cmd)
}

// trim deletes records and says, partition by partition, which are kept.
func (a *App) trim(ctx context.Context, c *kafkaclient.Client, name string, at place, only []int32, dryRun bool) error {
	reading, err := plan(ctx, c, name, only, span{from: at})
	if err != nil {
		return err
	}
	start, err := c.Offsets(ctx, reading.Topic, kafkaclient.AtStart)
	if err != nil {
		return err
	}
	kept := reading.From
	if !dryRun {
		if kept, err = c.DeleteRecords(ctx, reading.Topic, reading.From); err != nil {
			return err
		}
	}
	verb := "deleted"
	if dryRun {
		verb = "would be deleted"
	}
	for _, p := range reading.Topic.Partitions {
		if first, ok := kept[p.Number]; ok {
			n := max(0, first-start[p.Number])
			fmt.Fprintf(a.Out, "partition %d: %s %s, kept from %d\n", p.Number, plural(int(n), "offset"), verb, max(first, start[p.Number]))
		}
	}
	return nil
}
