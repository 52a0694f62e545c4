package kafkaclient

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Setting is a setting of a topic.
type Setting struct {
	Name, Value string
	// Default is true when nobody set it.
	Default bool
}

// CreateTopic creates a topic; -1 for partitions or replicas leaves the choice
// to the server.
func (c *Client) CreateTopic(ctx context.Context, name string, partitions int32, replicas int16, settings []Setting, dryRun bool) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(c.opts.Timeout / time.Millisecond)
	req.ValidateOnly = dryRun
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replicas
	for _, s := range settings {
		f := kmsg.NewCreateTopicsRequestTopicConfig()
		f.Name, f.Value = s.Name, &s.Value
		t.Configs = append(t.Configs, f)
	}
	req.Topics = append(req.Topics, t)
	return c.onController(ctx, func(controller kmsg.Requestor) error {
		resp, err := req.RequestWith(ctx, controller)
		if err != nil {
			return err
		}
		for _, t := range resp.Topics {
			if err := codeError(t.ErrorCode, t.ErrorMessage); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteTopic deletes a topic and everything in it.
func (c *Client) DeleteTopic(ctx context.Context, name string) error {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = int32(c.opts.Timeout / time.Millisecond)
	req.TopicNames = []string{name}
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = &name
	req.Topics = append(req.Topics, t)
	return c.onController(ctx, func(controller kmsg.Requestor) error {
		resp, err := req.RequestWith(ctx, controller)
		if err != nil {
			return err
		}
		for _, t := range resp.Topics {
			if err := codeError(t.ErrorCode, t.ErrorMessage); err != nil {
				return err
			}
		}
		return nil
	})
}

// onController runs an operation against the controller, again after it moved.
// A topic that does not exist stays away, so that is final here.
func (c *Client) onController(ctx context.Context, op func(kmsg.Requestor) error) error {
	again := func(err error) bool { return retriable(err) && !isUnknown(err) }
	return c.retry(ctx, again, func() error {
		cl, err := c.Metadata(ctx)
		if err != nil {
			return err
		}
		if cl.Controller < 0 {
			return op(c.anyServer())
		}
		return op(c.node(cl.Controller))
	})
}

// TopicSettings returns the settings of a topic, sorted by the server.
func (c *Client) TopicSettings(ctx context.Context, name string) ([]Setting, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, name
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(ctx, c.anyServer())
	if err != nil {
		return nil, err
	}
	if len(resp.Resources) != 1 {
		return nil, fmt.Errorf("the server described %d resources instead of one", len(resp.Resources))
	}
	if err := codeError(resp.Resources[0].ErrorCode, resp.Resources[0].ErrorMessage); err != nil {
		return nil, err
	}
	var settings []Setting
	for _, f := range resp.Resources[0].Configs {
		s := Setting{Name: f.Name, Default: f.IsDefault || f.Source != kmsg.ConfigSourceDynamicTopicConfig}
		if f.Value != nil {
			s.Value = *f.Value
		}
		settings = append(settings, s)
	}
	return settings, nil
}
