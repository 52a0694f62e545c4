package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/polylog-mq/polylog/internal/cli/kafkaclient"
)

// seekOptions are the flags of group seek.
type seekOptions struct {
	topics     []string
	to         string
	shift      int64
	partitions []int32
	dryRun     bool
}

func (a *App) groupSeek() *cobra.Command {
	var o seekOptions
	cmd := &cobra.Command{
		Use: "seek NAME", Short: "Move what a group has committed", Args: arguments(1, 1),
		Long: "Move what a group has committed, in all topics that it reads or in those of\n--topic. The group must have no members: stop its consumers first.",
		Example: "  polylog group seek billing --to start\n" +
			"  polylog group seek billing --topic orders --to @-1h --dry-run\n" +
			"  polylog group seek billing --topic orders --shift -100 -p 3",
		RunE: func(cmd *cobra.Command, args []string) error {
			byShift := cmd.Flags().Changed("shift")
			if byShift == (o.to != "") {
				return usageError{errors.New("give one of --to and --shift"), cmd.CommandPath()}
			}
			var at place
			if !byShift {
				var err error
				if at, err = parsePlace(o.to, time.Now()); err != nil {
					return usageError{fmt.Errorf("--to %q is none of start, end, N, +N, -N, @TIME", o.to), cmd.CommandPath()}
				}
			}
			return a.withClient(cmd.Context(), func(c *kafkaclient.Client) error {
				return about("group", args[0], a.seek(cmd.Context(), c, args[0], &o, at))
			})
		},
	}
	f := cmd.Flags()
	f.StringSliceVarP(&o.topics, "topic", "t", nil, "only these topics; a topic that the group has not read yet can be named")
	f.StringVar(&o.to, "to", "", "start, end, N, +N (after the first), -N (before the end) or @TIME")
	f.Int64Var(&o.shift, "shift", 0, "so many offsets forward, or back if negative")
	f.Int32SliceVarP(&o.partitions, "partition", "p", nil, "only these partitions")
	f.BoolVar(&o.dryRun, "dry-run", false, "only show what would be committed")
	completeFlag(cmd, "topic", a.completeTopics)
	offers(cmd, "to", "start", "end")
	cmd.ValidArgsFunction = a.completeGroups
	return a.formatFlag(a.clientFlags(cmd))
}

// seekLine is one offset that moves. From is -1 where nothing was committed.
type seekLine struct {
	Topic     string `json:"topic" yaml:"topic"`
	Partition int32  `json:"partition" yaml:"partition"`
	From      int64  `json:"from" yaml:"from"`
	To        int64  `json:"to" yaml:"to"`
}

func (a *App) seek(ctx context.Context, c *kafkaclient.Client, group string, o *seekOptions, at place) error {
	commits, err := c.Commits(ctx, group)
	if err != nil {
		return err
	}
	if len(commits) == 0 && len(o.topics) == 0 {
		return hinted{kafkaclient.GroupIDNotFound.Err(), "to prepare a group that has read nothing yet, name topics with --topic", exitNotFound}
	}
	lines := []seekLine{}
	for _, r := range merge(commits, nil) {
		if len(o.topics) == 0 || slices.Contains(o.topics, r.topic) {
			if lines, err = r.seek(ctx, c, o, at, lines); err != nil {
				return about("topic", r.topic, err)
			}
		}
	}
	for _, name := range o.topics {
		if !slices.ContainsFunc(commits, func(k kafkaclient.Commit) bool { return k.Topic == name }) {
			fresh := &read{topic: name}
			if lines, err = fresh.seek(ctx, c, o, at, lines); err != nil {
				return about("topic", name, err)
			}
		}
	}
	if !o.dryRun {
		to := map[string]map[int32]int64{}
		for _, l := range lines {
			if to[l.Topic] == nil {
				to[l.Topic] = map[int32]int64{}
			}
			to[l.Topic][l.Partition] = l.To
		}
		if err := c.SeekGroup(ctx, group, to); err != nil {
			return err
		}
	}
	return a.show(lines, func(w io.Writer, _ bool) error { return writeSeek(w, lines) })
}

// seek works out where to move in one topic.
func (r *read) seek(ctx context.Context, c *kafkaclient.Client, o *seekOptions, at place, lines []seekLine) ([]seekLine, error) {
	topic, err := c.Topic(ctx, r.topic, false)
	if err != nil {
		return nil, err
	}
	resolve, err := newResolver(ctx, c, topic)
	if err != nil {
		return nil, err
	}
	var to map[int32]int64
	if o.to != "" {
		if to, err = resolve.offsets(ctx, at); err != nil {
			return nil, err
		}
	}
	for _, p := range topic.Partitions {
		if len(o.partitions) > 0 && !slices.Contains(o.partitions, p.Number) {
			continue
		}
		from, committed := r.committed[p.Number]
		if !committed {
			from = -1
		}
		target := to[p.Number]
		if o.to == "" {
			if !committed {
				continue // nothing to shift
			}
			target = from + o.shift
		}
		target = min(max(target, resolve.start[p.Number]), resolve.end[p.Number])
		lines = append(lines, seekLine{r.topic, p.Number, from, target})
	}
	return lines, nil
}

func writeSeek(w io.Writer, lines []seekLine) error {
	t := newTable(w, "TOPIC", "PARTITION", "FROM", "TO")
	for _, l := range lines {
		from := any(l.From)
		if l.From < 0 {
			from = "-"
		}
		t.row(l.Topic, l.Partition, from, l.To)
	}
	return t.flush()
}

func (a *App) groupDelete() *cobra.Command {
	var topics []string
	cmd := &cobra.Command{
		Use: "delete NAME...", Short: "Delete groups, or what they have committed for topics", Args: arguments(1, -1),
		Example: "  polylog group delete billing\n" +
			"  polylog group delete billing --topic orders    only what it has committed there",
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.withClient(cmd.Context(), func(c *kafkaclient.Client) error {
				for _, name := range names {
					if err := a.deleteGroup(cmd.Context(), c, name, topics); err != nil {
						return about("group", name, err)
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringSliceVarP(&topics, "topic", "t", nil, "only what is committed for these topics")
	completeFlag(cmd, "topic", a.completeTopics)
	cmd.ValidArgsFunction = a.completeGroups
	return a.clientFlags(cmd)
}

func (a *App) deleteGroup(ctx context.Context, c *kafkaclient.Client, name string, topics []string) error {
	for _, t := range topics {
		topic, err := c.Topic(ctx, t, false)
		if err == nil {
			err = c.DeleteOffsets(ctx, name, topic)
		}
		if err != nil {
			return about("topic", t, err)
		}
		fmt.Fprintf(a.Out, "offsets of group %s for topic %s deleted\n", name, t)
	}
	if len(topics) > 0 {
		return nil
	}
	if err := c.DeleteGroup(ctx, name); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.Out, "group %s deleted\n", name)
	return err
}
