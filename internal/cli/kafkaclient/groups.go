package kafkaclient

import (
	"cmp"
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// GroupListing is one line of a list of groups.
type GroupListing struct {
	Name, State, ProtocolType string
	Coordinator               int32
}

// Groups lists the groups of all servers, by name.
func (c *Client) Groups(ctx context.Context) ([]GroupListing, error) {
	cl, err := c.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	var all []GroupListing
	for _, n := range cl.Nodes {
		var groups []kmsg.ListGroupsResponseGroup
		err := c.retry(ctx, retriable, func() error {
			resp, err := kmsg.NewPtrListGroupsRequest().RequestWith(ctx, c.node(n.ID))
			if err != nil {
				return err
			}
			groups = resp.Groups
			return codeError(resp.ErrorCode, nil)
		})
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			all = append(all, GroupListing{g.Group, g.GroupState, g.ProtocolType, n.ID})
		}
	}
	slices.SortFunc(all, func(a, b GroupListing) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// Group is a group in detail.
type Group struct {
	Name, State, ProtocolType, Protocol string
	Coordinator                         int32
	Members                             []Member
}

// Member is a member of a group and the partitions it was assigned.
type Member struct {
	ID, Instance, Client, Host string
	Assigned                   map[string][]int32
}

// DescribeGroup asks a group's coordinator about it. A group that never was
// answers with state "Dead" and no members.
func (c *Client) DescribeGroup(ctx context.Context, name string) (Group, error) {
	var g Group
	err := c.onCoordinator(ctx, name, func(coordinator int32) error {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups = []string{name}
		resp, err := req.RequestWith(ctx, c.node(coordinator))
		if err != nil {
			return err
		}
		for _, d := range resp.Groups {
			if err := codeError(d.ErrorCode, d.ErrorMessage); err != nil {
				return err
			}
			g = Group{d.Group, d.State, d.ProtocolType, d.Protocol, coordinator, nil}
			for _, m := range d.Members {
				g.Members = append(g.Members, memberFrom(m))
			}
		}
		return nil
	})
	slices.SortFunc(g.Members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return g, err
}

func memberFrom(m kmsg.DescribeGroupsResponseGroupMember) Member {
	member := Member{ID: m.MemberID, Client: m.ClientID, Host: m.ClientHost}
	if m.InstanceID != nil {
		member.Instance = *m.InstanceID
	}
	assignment := kmsg.NewConsumerMemberAssignment()
	if assignment.ReadFrom(m.MemberAssignment) == nil { // else: not a consumer's
		member.Assigned = map[string][]int32{}
		for _, t := range assignment.Topics {
			member.Assigned[t.Topic] = t.Partitions
		}
	}
	return member
}

// Commit is a committed offset of a group.
type Commit struct {
	Topic     string
	Partition int32
	Offset    int64
	Metadata  string
}

// Commits returns everything that a group has committed, by topic and
// partition.
func (c *Client) Commits(ctx context.Context, group string) ([]Commit, error) {
	var all []Commit
	err := c.onCoordinator(ctx, group, func(coordinator int32) error {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Version = 7 // one group, topics by name
		req.Group, req.Topics = group, nil
		resp, err := req.RequestWith(ctx, c.node(coordinator))
		if err != nil {
			return err
		}
		all = nil
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := codeError(p.ErrorCode, nil); err != nil {
					return err
				}
				commit := Commit{Topic: t.Topic, Partition: p.Partition, Offset: p.Offset}
				if p.Metadata != nil {
					commit.Metadata = *p.Metadata
				}
				all = append(all, commit)
			}
		}
		return codeError(resp.ErrorCode, nil)
	})
	slices.SortFunc(all, func(a, b Commit) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return all, err
}

// onCoordinator finds a group's coordinator and runs an operation with its
// node id, again after it moved.
func (c *Client) onCoordinator(ctx context.Context, group string, op func(coordinator int32) error) error {
	return c.retry(ctx, retriable, func() error {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.Version = 3 // one key
		req.CoordinatorKey = group
		resp, err := req.RequestWith(ctx, c.anyServer())
		if err != nil {
			return err
		}
		if err := codeError(resp.ErrorCode, resp.ErrorMessage); err != nil {
			return err
		}
		c.learn([]Node{{ID: resp.NodeID, Address: hostPort(resp.Host, resp.Port)}})
		return op(resp.NodeID)
	})
}
