package kafkaclient

import (
	"cmp"
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Cluster is what the servers say about themselves and their topics.
type Cluster struct {
	ID         string
	Controller int32
	Nodes      []Node  // by id
	Topics     []Topic // by name
}

// Node is one server.
type Node struct {
	ID      int32
	Address string
	Rack    string
}

// Topic is a topic and its partitions, by number.
type Topic struct {
	Name       string
	ID         [16]byte
	Internal   bool
	Partitions []Partition
}

// Partition is where a partition lives.
type Partition struct {
	Number   int32
	Leader   int32
	Epoch    int32
	Replicas []int32
	InSync   []int32
}

// Metadata asks for the named topics, or for all when none is named. A named
// topic that does not exist is an error.
func (c *Client) Metadata(ctx context.Context, topics ...string) (*Cluster, error) {
	return c.metadata(ctx, false, topics)
}

// metadata asks; with create, topics that do not exist are made if the server
// does that.
func (c *Client) metadata(ctx context.Context, create bool, topics []string) (*Cluster, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = create
	if len(topics) > 0 {
		req.Topics = []kmsg.MetadataRequestTopic{}
	}
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, c.anyServer())
	if err != nil {
		return nil, err
	}
	cl := &Cluster{Controller: resp.ControllerID}
	if resp.ClusterID != nil {
		cl.ID = *resp.ClusterID
	}
	for _, b := range resp.Brokers {
		n := Node{ID: b.NodeID, Address: hostPort(b.Host, b.Port)}
		if b.Rack != nil {
			n.Rack = *b.Rack
		}
		cl.Nodes = append(cl.Nodes, n)
	}
	c.learn(cl.Nodes)
	for _, t := range resp.Topics {
		if err := codeError(t.ErrorCode, nil); err != nil {
			return nil, err
		}
		cl.Topics = append(cl.Topics, topicFrom(t))
	}
	slices.SortFunc(cl.Nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(cl.Topics, func(a, b Topic) int { return cmp.Compare(a.Name, b.Name) })
	return cl, nil
}

// learn keeps the addresses; a server that moved is dialled anew.
func (c *Client) learn(nodes []Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range nodes {
		if old := c.address[n.ID]; old != n.Address {
			if l := c.links[n.ID]; l != nil {
				delete(c.links, n.ID)
				defer l.close()
			}
			c.address[n.ID] = n.Address
		}
	}
}

func topicFrom(t kmsg.MetadataResponseTopic) Topic {
	topic := Topic{ID: t.TopicID, Internal: t.IsInternal}
	if t.Topic != nil {
		topic.Name = *t.Topic
	}
	for _, p := range t.Partitions {
		topic.Partitions = append(topic.Partitions, Partition{
			Number: p.Partition, Leader: p.Leader, Epoch: p.LeaderEpoch, Replicas: p.Replicas, InSync: p.ISR,
		})
	}
	slices.SortFunc(topic.Partitions, func(a, b Partition) int { return cmp.Compare(a.Number, b.Number) })
	return topic
}

// Topic asks for one topic, and waits while it is being created or has no
// leader. With create, a server that creates topics on first use makes it.
func (c *Client) Topic(ctx context.Context, name string, create bool) (Topic, error) {
	again := func(err error) bool {
		return retriable(err) && (create || !isUnknown(err))
	}
	var found Topic
	err := c.retry(ctx, again, func() error {
		cl, err := c.metadata(ctx, create, []string{name})
		if err != nil {
			return err
		}
		if len(cl.Topics) != 1 {
			return UnknownTopic.Err()
		}
		found = cl.Topics[0]
		for _, p := range found.Partitions {
			if p.Leader < 0 {
				return LeaderNotAvailable.Err()
			}
		}
		return nil
	})
	return found, err
}
