package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/polylog-mq/polylog/internal/cli/kafkaclient"
)

func (a *App) topicCommand() *cobra.Command {
	return noun("topic", "Create, list, describe, alter, trim and delete topics",
		a.topicCreate(), a.topicList(), a.topicDescribe(), a.topicAlter(), a.topicTrim(), a.topicDelete())
}

func (a *App) topicCreate() *cobra.Command {
	var partitions int32
	var replicas int16
	var settings []string
	var ifNotExists, dryRun bool
	cmd := &cobra.Command{
		Use: "create NAME...", Short: "Create topics", Args: arguments(1, -1),
		Example: "  polylog topic create orders --partitions 12 --config retention.ms=86400000",
		RunE: func(cmd *cobra.Command, names []string) error {
			configs, err := parseSettings(settings)
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			return a.withClient(cmd.Context(), func(c *kafkaclient.Client) error {
				for _, name := range names {
					err := c.CreateTopic(cmd.Context(), name, partitions, replicas, configs, dryRun)
					switch {
					case ifNotExists && errors.Is(err, kafkaclient.TopicAlreadyExists.Err()):
						fmt.Fprintf(a.Out, "topic %s exists already\n", name)
					case err != nil:
						return about("topic", name, err)
					case dryRun:
						fmt.Fprintf(a.Out, "topic %s would be created\n", name)
					default:
						fmt.Fprintf(a.Out, "topic %s created\n", name)
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().Int32VarP(&partitions, "partitions", "p", -1, "number of partitions; -1: the server's default")
	cmd.Flags().Int16VarP(&replicas, "replicas", "r", -1, "number of replicas; -1: the server's default")
	cmd.Flags().StringArrayVarP(&settings, "config", "c", nil, "a setting, name=value; can be given several times")
	completeFlag(cmd, "config", completeAssignments)
	cmd.Flags().BoolVar(&ifNotExists, "if-not-exists", false, "an existing topic is no error")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only ask whether the server would")
	return a.clientFlags(cmd)
}

func parseSettings(texts []string) ([]kafkaclient.Setting, error) {
	var settings []kafkaclient.Setting
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--config %q is not name=value", text)
		}
		settings = append(settings, kafkaclient.Setting{Name: name, Value: value})
	}
	return settings, nil
}

// topicLine is a topic in a list.
type topicLine struct {
	Name       string `json:"name" yaml:"name"`
	ID         string `json:"id" yaml:"id"`
	Partitions int    `json:"partitions" yaml:"partitions"`
	Replicas   int    `json:"replicas" yaml:"replicas"`
	Internal   bool   `json:"internal" yaml:"internal"`
}

func lineOf(t kafkaclient.Topic) topicLine {
	l := topicLine{Name: t.Name, ID: uuid.UUID(t.ID).String(), Partitions: len(t.Partitions), Internal: t.Internal}
	if len(t.Partitions) > 0 {
		l.Replicas = len(t.Partitions[0].Replicas)
	}
	return l
}

func (a *App) topicList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List all topics", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(c *kafkaclient.Client) error {
				cluster, err := c.Metadata(cmd.Context())
				if err != nil {
					return err
				}
				topics := []topicLine{}
				for _, t := range cluster.Topics {
					topics = append(topics, lineOf(t))
				}
				return a.show(topics, func(w io.Writer, wide bool) error { return writeTopics(w, topics, wide) })
			})
		},
	}
	return a.formatFlag(a.clientFlags(cmd))
}

func writeTopics(w io.Writer, topics []topicLine, wide bool) error {
	columns := []string{"NAME", "PARTITIONS", "REPLICAS"}
	if wide {
		columns = append(columns, "ID", "INTERNAL")
	}
	t := newTable(w, columns...)
	for _, l := range topics {
		cells := []any{l.Name, l.Partitions, l.Replicas}
		if wide {
			cells = append(cells, l.ID, l.Internal)
		}
		t.row(cells...)
	}
	return t.flush()
}

// topicDetail is a topic described.
type topicDetail struct {
	Name       string          `json:"name" yaml:"name"`
	ID         string          `json:"id" yaml:"id"`
	Partitions []partitionLine `json:"partitions" yaml:"partitions"`
	Settings   []settingLine   `json:"settings" yaml:"settings"`
}

type settingLine struct {
	Name    string `json:"name" yaml:"name"`
	Value   string `json:"value" yaml:"value"`
	Default bool   `json:"default" yaml:"default"`
}

type partitionLine struct {
	Partition int32   `json:"partition" yaml:"partition"`
	Leader    int32   `json:"leader" yaml:"leader"`
	Epoch     int32   `json:"epoch" yaml:"epoch"`
	Replicas  []int32 `json:"replicas" yaml:"replicas"`
	InSync    []int32 `json:"inSync" yaml:"inSync"`
	Start     int64   `json:"start" yaml:"start"`
	End       int64   `json:"end" yaml:"end"`
}

func (a *App) topicDescribe() *cobra.Command {
	cmd := &cobra.Command{
		Use: "describe NAME", Short: "Show a topic's partitions, offsets and settings", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *kafkaclient.Client) error {
				d, err := describeTopic(cmd.Context(), c, args[0])
				if err != nil {
					return about("topic", args[0], err)
				}
				return a.show(d, d.write)
			})
		},
	}
	cmd.ValidArgsFunction = a.completeTopics
	return a.formatFlag(a.clientFlags(cmd))
}

func describeTopic(ctx context.Context, c *kafkaclient.Client, name string) (*topicDetail, error) {
	topic, err := c.Topic(ctx, name, false)
	if err != nil {
		return nil, err
	}
	settings, err := c.TopicSettings(ctx, name)
	if err != nil {
		return nil, err
	}
	start, err := c.Offsets(ctx, topic, kafkaclient.AtStart)
	if err != nil {
		return nil, err
	}
	end, err := c.Offsets(ctx, topic, kafkaclient.AtEnd)
	if err != nil {
		return nil, err
	}
	d := &topicDetail{Name: topic.Name, ID: uuid.UUID(topic.ID).String()}
	for _, s := range settings {
		d.Settings = append(d.Settings, settingLine(s))
	}
	for _, p := range topic.Partitions {
		d.Partitions = append(d.Partitions, partitionLine{
			p.Number, p.Leader, p.Epoch, p.Replicas, p.InSync, start[p.Number], end[p.Number],
		})
	}
	return d, nil
}

// write shows the topic: settings that nobody changed only when wide.
func (d *topicDetail) write(w io.Writer, wide bool) error {
	fmt.Fprintf(w, "name        %s\nid          %s\n\n", d.Name, d.ID)
	columns := []string{"PARTITION", "LEADER", "START", "END", "OFFSETS"}
	if wide {
		columns = append(columns, "EPOCH", "REPLICAS", "IN SYNC")
	}
	t := newTable(w, columns...)
	for _, p := range d.Partitions {
		cells := []any{p.Partition, p.Leader, p.Start, p.End, p.End - p.Start}
		if wide {
			cells = append(cells, p.Epoch, joined(p.Replicas), joined(p.InSync))
		}
		t.row(cells...)
	}
	if err := t.flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = newTable(w, "SETTING", "VALUE")
	defaults := 0
	for _, s := range d.Settings {
		if s.Default && !wide {
			defaults++
			continue
		}
		t.row(s.Name, s.Value)
	}
	if defaults == len(d.Settings) && defaults > 0 {
		_, err := fmt.Fprintf(w, "all %d settings have their defaults; --format wide shows them\n", defaults)
		return err
	}
	return t.flush()
}

func (a *App) topicDelete() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use: "delete NAME...", Short: "Delete topics and everything in them", Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.withClient(cmd.Context(), func(c *kafkaclient.Client) error {
				for _, name := range names {
					if err := a.deleteTopic(cmd.Context(), c, name, dryRun); err != nil {
						return about("topic", name, err)
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be lost")
	cmd.ValidArgsFunction = a.completeTopics
	return a.clientFlags(cmd)
}

func (a *App) deleteTopic(ctx context.Context, c *kafkaclient.Client, name string, dryRun bool) error {
	if !dryRun {
		if err := c.DeleteTopic(ctx, name); err != nil {
			return err
		}
		_, err := fmt.Fprintf(a.Out, "topic %s deleted\n", name)
		return err
	}
	d, err := describeTopic(ctx, c, name)
	if err != nil {
		return err
	}
	var offsets int64
	for _, p := range d.Partitions {
		offsets += p.End - p.Start
	}
	_, err = fmt.Fprintf(a.Out, "topic %s would be deleted, with %s in %s\n", name, plural(int(offsets), "offset"), plural(len(d.Partitions), "partition"))
	return err
}
