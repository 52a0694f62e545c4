package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/polylog-mq/polylog/internal/cli/kafkaclient"
)

func (a *App) groupCommand() *cobra.Command {
	return noun("group", "List, describe, seek and delete consumer groups",
		a.groupList(), a.groupDescribe(), a.groupSeek(), a.groupDelete())
}

// groupLine is a group in a list.
type groupLine struct {
	Name        string `json:"name" yaml:"name"`
	State       string `json:"state" yaml:"state"`
	Protocol    string `json:"protocolType" yaml:"protocolType"`
	Coordinator int32  `json:"coordinator" yaml:"coordinator"`
}

func (a *App) groupList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List all groups", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(c *kafkaclient.Client) error {
				found, err := c.Groups(cmd.Context())
				if err != nil {
					return err
				}
				groups := []groupLine{}
				for _, g := range found {
					groups = append(groups, groupLine{g.Name, g.State, g.ProtocolType, g.Coordinator})
				}
				return a.show(groups, func(w io.Writer, wide bool) error { return writeGroups(w, groups, wide) })
			})
		},
	}
	return a.formatFlag(a.clientFlags(cmd))
}

func writeGroups(w io.Writer, groups []groupLine, wide bool) error {
	columns := []string{"NAME", "STATE"}
	if wide {
		columns = append(columns, "PROTOCOL", "COORDINATOR")
	}
	t := newTable(w, columns...)
	for _, g := range groups {
		cells := []any{g.Name, g.State}
		if wide {
			cells = append(cells, g.Protocol, g.Coordinator)
		}
		t.row(cells...)
	}
	return t.flush()
}

// groupDetail is a group described.
type groupDetail struct {
	groupLine  `yaml:",inline"`
	Assignor   string       `json:"assignor" yaml:"assignor"`
	Members    []memberLine `json:"members" yaml:"members"`
	Lag        int64        `json:"lag" yaml:"lag"`
	LagSeconds *float64     `json:"lagSeconds" yaml:"lagSeconds"`
	Partitions []lagLine    `json:"partitions" yaml:"partitions"`
}

type memberLine struct {
	ID       string `json:"id" yaml:"id"`
	Instance string `json:"instance,omitempty" yaml:"instance,omitempty"`
	Client   string `json:"client" yaml:"client"`
	Host     string `json:"host" yaml:"host"`
}

// lagLine is one partition that the group reads. Committed is -1 when it has
// committed nothing; its lag then counts from the first kept record.
// LagSeconds is the age of the first record that it has not committed, by that
// record's timestamp; nil when that is not known.
type lagLine struct {
	Topic      string   `json:"topic" yaml:"topic"`
	Partition  int32    `json:"partition" yaml:"partition"`
	Committed  int64    `json:"committed" yaml:"committed"`
	End        int64    `json:"end" yaml:"end"`
	Lag        int64    `json:"lag" yaml:"lag"`
	LagSeconds *float64 `json:"lagSeconds" yaml:"lagSeconds"`
	Member     string   `json:"member,omitempty" yaml:"member,omitempty"`
	Client     string   `json:"client,omitempty" yaml:"client,omitempty"`
	Host       string   `json:"host,omitempty" yaml:"host,omitempty"`
}

func (a *App) groupDescribe() *cobra.Command {
	cmd := &cobra.Command{
		Use: "describe NAME", Short: "Show a group's members, offsets and lag", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *kafkaclient.Client) error {
				d, err := describeGroup(cmd.Context(), c, args[0])
				if err != nil {
					return about("group", args[0], err)
				}
				return a.show(d, d.write)
			})
		},
	}
	cmd.ValidArgsFunction = a.completeGroups
	return a.formatFlag(a.clientFlags(cmd))
}

func describeGroup(ctx context.Context, c *kafkaclient.Client, name string) (*groupDetail, error) {
	g, err := c.DescribeGroup(ctx, name)
	if err != nil {
		return nil, err
	}
	commits, err := c.Commits(ctx, name)
	if err != nil {
		return nil, err
	}
	if g.State == "Dead" && len(commits) == 0 {
		return nil, kafkaclient.GroupIDNotFound.Err()
	}
	d := &groupDetail{
		groupLine: groupLine{g.Name, g.State, g.ProtocolType, g.Coordinator}, Assignor: g.Protocol,
		Members: []memberLine{}, Partitions: []lagLine{},
	}
	for _, m := range g.Members {
		d.Members = append(d.Members, memberLine{m.ID, m.Instance, m.Client, m.Host})
	}
	return d, d.measure(ctx, c, merge(commits, g.Members))
}

// read is what a group does with a topic: committed offsets and owners, by
// partition.
type read struct {
	topic     string
	committed map[int32]int64
	owner     map[int32]*kafkaclient.Member
}

// merge brings together what is committed and what is assigned, by topic.
func merge(commits []kafkaclient.Commit, members []kafkaclient.Member) []*read {
	var reads []*read
	of := func(topic string) *read {
		for _, r := range reads {
			if r.topic == topic {
				return r
			}
		}
		r := &read{topic, map[int32]int64{}, map[int32]*kafkaclient.Member{}}
		reads = append(reads, r)
		return r
	}
	for _, c := range commits {
		of(c.Topic).committed[c.Partition] = c.Offset
	}
	for i := range members {
		for topic, numbers := range members[i].Assigned {
			for _, n := range numbers {
				of(topic).owner[n] = &members[i]
			}
		}
	}
	slices.SortFunc(reads, func(a, b *read) int { return cmp.Compare(a.topic, b.topic) })
	return reads
}

// measure asks for the ends of the partitions and computes the lag.
func (d *groupDetail) measure(ctx context.Context, c *kafkaclient.Client, reads []*read) error {
	for _, r := range reads {
		topic, err := c.Topic(ctx, r.topic, false)
		if errors.Is(err, kafkaclient.UnknownTopic.Err()) {
			continue // deleted since; what was committed there says nothing any more
		}
		if err != nil {
			return about("topic", r.topic, err)
		}
		start, err := c.Offsets(ctx, topic, kafkaclient.AtStart)
		if err != nil {
			return err
		}
		end, err := c.Offsets(ctx, topic, kafkaclient.AtEnd)
		if err != nil {
			return err
		}
		var lines []lagLine
		for _, p := range topic.Partitions {
			if l, ok := r.line(p.Number, start[p.Number], end[p.Number]); ok {
				lines = append(lines, l)
			}
		}
		if err := age(ctx, c, topic, lines, start); err != nil {
			return about("topic", r.topic, err)
		}
		d.Partitions = append(d.Partitions, lines...)
	}
	none := 0.0
	d.LagSeconds = &none
	for _, l := range d.Partitions {
		d.Lag += l.Lag
		if l.LagSeconds != nil && *l.LagSeconds > *d.LagSeconds {
			d.LagSeconds = l.LagSeconds
		}
	}
	return nil
}

// age fills in how old the first record is that the group has not committed, in
// each partition of a topic.
func age(ctx context.Context, c *kafkaclient.Client, topic kafkaclient.Topic, lines []lagLine, start map[int32]int64) error {
	behind := map[int32]int64{}
	for _, l := range lines {
		if l.Lag > 0 {
			behind[l.Partition] = max(l.Committed, start[l.Partition])
		}
	}
	stamps, err := c.Timestamps(ctx, topic, behind)
	if err != nil {
		return err
	}
	now := time.Now()
	for i := range lines {
		l := &lines[i]
		seconds := 0.0
		if l.Lag > 0 {
			ts, ok := stamps[l.Partition]
			if !ok || ts < 0 {
				continue
			}
			seconds = max(0, now.Sub(time.UnixMilli(ts)).Seconds())
		}
		l.LagSeconds = &seconds
	}
	return nil
}

// ago shows an age for people.
func ago(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	d := time.Duration(*seconds * float64(time.Second))
	switch {
	case d < time.Minute:
		d = d.Round(100 * time.Millisecond)
	case d < time.Hour:
		d = d.Round(time.Second)
	default:
		d = d.Round(time.Minute)
	}
	return d.String()
}

// line measures one partition; false if the group has nothing to do with it.
func (r *read) line(partition int32, start, end int64) (lagLine, bool) {
	committed, ok := r.committed[partition]
	m := r.owner[partition]
	if !ok && m == nil {
		return lagLine{}, false
	}
	l := lagLine{Topic: r.topic, Partition: partition, Committed: -1, End: end}
	if ok {
		l.Committed = committed
	}
	l.Lag = max(0, end-max(start, l.Committed))
	if m != nil {
		l.Member, l.Client, l.Host = m.ID, m.Client, m.Host
	}
	return l, true
}

func (d *groupDetail) write(w io.Writer, wide bool) error {
	fmt.Fprintf(w, "name         %s\nstate        %s\nmembers      %d\nlag          %d offsets, %s\n",
		d.Name, d.State, len(d.Members), d.Lag, ago(d.LagSeconds))
	if wide {
		fmt.Fprintf(w, "assignor     %s\ncoordinator  %d\n", d.Assignor, d.Coordinator)
	}
	fmt.Fprintln(w)
	columns := []string{"TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "BEHIND", "CLIENT"}
	if wide {
		columns = append(columns, "HOST", "MEMBER")
	}
	t := newTable(w, columns...)
	for _, p := range d.Partitions {
		committed := any(p.Committed)
		if p.Committed < 0 {
			committed = "-"
		}
		cells := []any{p.Topic, p.Partition, committed, p.End, p.Lag, ago(p.LagSeconds), p.Client}
		if wide {
			cells = append(cells, p.Host, p.Member)
		}
		t.row(cells...)
	}
	return t.flush()
}
