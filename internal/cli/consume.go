package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/polylog-mq/polylog/internal/cli/kafkaclient"
	"github.com/polylog-mq/polylog/internal/cli/recordfmt"
)

// formatWideRecord is what "wide" means for records.
const formatWideRecord = `%p\t%o\t%d{rfc3339}\t%k\t%v\n`

// errEnough ends a read that has delivered what was asked for.
var errEnough = errors.New("enough")

// consumeOptions are the flags of consume.
type consumeOptions struct {
	offset, format, group string
	partitions            []int32
	num                   int64
	exit                  bool
}

func (a *App) consumeCommand() *cobra.Command {
	var o consumeOptions
	cmd := &cobra.Command{
		Use:   "consume TOPIC",
		Short: "Read records and wait for more",
		Long: "Read records, from the first that is kept, and wait for more.\n\n" +
			"--format is text (the value), wide, json (lines that 'produce --format json' reads,\n" +
			"byte for byte), or a format with %t topic, %p partition, %o offset, %k key, %v value,\n" +
			"%d timestamp, %e leader epoch, %K and %V lengths, %h{%k=%v } headers; \\n ends a line,\n" +
			"%v{hex}, %v{base64}, %d{rfc3339} and %d{go[15:04:05]} show them otherwise.",
		Example: "  polylog consume orders --offset -10                     the last ten, then what comes\n" +
			"  polylog consume orders --offset @-1h:end --format json  the last hour, then stop\n" +
			"  polylog consume orders --exit -f '%p:%o %k=%v\\n'\n" +
			"  polylog consume orders --group billing                  share the work, remember what is done",
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			write, err := recordWriter(o.format)
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			at, err := parseSpan(o.offset, time.Now())
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			if o.group != "" && len(o.partitions) > 0 {
				return usageError{errors.New("--group and --partition exclude each other: the group assigns partitions"), cmd.CommandPath()}
			}
			if o.exit && at.to == nil {
				at.to = &place{kind: 'e'}
			}
			return a.withClient(cmd.Context(), func(c *kafkaclient.Client) error {
				return about("topic", args[0], a.consume(cmd.Context(), c, args[0], &o, at, write))
			})
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.offset, "offset", "o", "start", offsetHelp)
	f.StringVarP(&o.format, "format", "f", formatText, `text, wide, json, or a format such as "%k=%v\n"`)
	f.Int32SliceVarP(&o.partitions, "partition", "p", nil, "read only these partitions")
	f.StringVarP(&o.group, "group", "g", "", "read as a member of this group, from where it has committed; --offset is for what it has not read yet")
	f.Int64VarP(&o.num, "num", "n", 0, "stop after so many records; 0: do not stop")
	f.BoolVarP(&o.exit, "exit", "e", false, "stop at what was the end when it began")
	cmd.ValidArgsFunction = a.completeTopics
	offers(cmd, "offset", "start", "end")
	offers(cmd, "format", formatText, formatWide, formatJSON)
	completeFlag(cmd, "group", a.completeGroups)
	return a.clientFlags(cmd)
}

// recordWriter returns the function that appends a record as --format says.
func recordWriter(format string) (func(dst []byte, r *recordfmt.Record) ([]byte, error), error) {
	switch format {
	case formatJSON:
		return recordfmt.AppendJSON, nil
	case formatText:
		format = `%v\n`
	case formatWide:
		format = formatWideRecord
	}
	f, err := recordfmt.Parse(format)
	if err != nil {
		return nil, err
	}
	return func(dst []byte, r *recordfmt.Record) ([]byte, error) { return f.Append(dst, r), nil }, nil
}

// consume reads a range and writes it out.
func (a *App) consume(ctx context.Context, c *kafkaclient.Client, topic string, o *consumeOptions, at span,
	write func([]byte, *recordfmt.Record) ([]byte, error),
) error {
	reading, err := plan(ctx, c, topic, o.partitions, at)
	if err != nil {
		return err
	}
	if err := within(ctx, c, &reading, at, o.exit); err != nil {
		return err
	}
	out := bufio.NewWriterSize(a.Out, 64<<10)
	reading.Idle = out.Flush
	var buf []byte
	var count int64
	take := func(d *kafkaclient.Delivery) error {
		r := recordfmt.Record{Record: d.Record, Topic: topic, Partition: d.Partition, Epoch: d.Epoch}
		var err error
		if buf, err = write(buf[:0], &r); err != nil {
			return err
		}
		if _, err := out.Write(buf); err != nil {
			return err
		}
		if count++; count == o.num {
			return errEnough
		}
		return nil
	}
	if o.group == "" {
		err = c.Read(ctx, reading, take)
	} else {
		err = c.ReadInGroup(ctx, kafkaclient.GroupReading{
			Group: o.group, Topic: reading.Topic, Begin: reading.From, Until: reading.Until, Idle: reading.Idle,
		}, take)
	}
	if flushed := out.Flush(); err == nil || errors.Is(err, errEnough) {
		return flushed
	}
	return err
}

// within holds offsets that somebody wrote down against what each partition
// keeps: where the first is still to come reading begins at the end, and one that
// is gone is an error. With exit nothing is waited for.
func within(ctx context.Context, c *kafkaclient.Client, r *kafkaclient.Reading, at span, exit bool) error {
	if at.from.kind != '=' && (!exit || at.to.kind == 'e') {
		return nil
	}
	kept, err := newResolver(ctx, c, r.Topic)
	if err != nil {
		return err
	}
	for _, n := range slices.Sorted(maps.Keys(r.From)) {
		if exit {
			r.Until[n] = min(r.Until[n], kept.end[n])
		}
		if at.from.kind != '=' {
			continue
		}
		if r.From[n] < kept.start[n] {
			return fmt.Errorf("partition %d at offset %d (kept: %d to %d): %w",
				n, r.From[n], kept.start[n], kept.end[n], kafkaclient.OffsetOutOfRange.Err())
		}
		r.From[n] = min(r.From[n], kept.end[n])
	}
	return nil
}

// plan finds out where to begin and where to end in each partition.
func plan(ctx context.Context, c *kafkaclient.Client, name string, only []int32, at span) (kafkaclient.Reading, error) {
	var r kafkaclient.Reading
	topic, err := c.Topic(ctx, name, false)
	if err != nil {
		return r, err
	}
	resolve, err := newResolver(ctx, c, topic)
	if err != nil {
		return r, err
	}
	r.Topic = topic
	if r.From, err = resolve.offsets(ctx, at.from); err != nil {
		return r, err
	}
	if at.to != nil {
		if r.Until, err = resolve.offsets(ctx, *at.to); err != nil {
			return r, err
		}
	}
	for _, n := range only {
		if _, ok := r.From[n]; !ok {
			return r, fmt.Errorf("there is no partition %d: the topic has %d", n, len(topic.Partitions))
		}
	}
	if len(only) > 0 {
		for n := range r.From {
			if !slices.Contains(only, n) {
				delete(r.From, n)
			}
		}
	}
	return r, nil
}
