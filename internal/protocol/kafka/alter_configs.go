package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// AlterConfigs, key 33, versions 0-2.
//
// Replaces all settings of a topic by those named: one that is not named goes
// back to its default. The answer comes when the shards obey. Only topics have
// settings that can be changed.

func alterConfigs(c *call, req *kmsg.AlterConfigsRequest) {
	resp := kmsg.NewPtrAlterConfigsResponse()
	changes := configChanges{call: c}
	for i := range req.Resources {
		asked := &req.Resources[i]
		answer := kmsg.NewAlterConfigsResponseResource()
		answer.ResourceType, answer.ResourceName = asked.ResourceType, asked.ResourceName
		change := broker.AlterTopic{Name: asked.ResourceName, Replace: true}
		for _, cfg := range asked.Configs {
			if cfg.Value != nil {
				change.Changes = append(change.Changes, broker.ConfigChange{Op: broker.ConfigSet, Name: cfg.Name, Value: *cfg.Value})
			}
		}
		answer.ErrorCode, answer.ErrorMessage = changes.add(i, asked.ResourceType, change)
		resp.Resources = append(resp.Resources, answer)
	}
	changes.run(req.ValidateOnly, func(i int, err error) {
		resp.Resources[i].ErrorCode, resp.Resources[i].ErrorMessage = controllerCode(err), messageOf(err)
	}, func() { c.reply(resp) })
}

// configChanges gathers changes of settings for the broker.
type configChanges struct {
	*call
	topics []broker.AlterTopic
	at     []int // the index of each in the request
}

// add takes in a change, the i-th of its request, or refuses it.
func (s *configChanges) add(i int, kind kmsg.ConfigResourceType, t broker.AlterTopic) (code int16, message *string) {
	refuse := func(code int16, message string) (int16, *string) { return code, &message }
	if kind != kmsg.ConfigResourceTypeTopic {
		if !s.allows(access.Alter, access.Cluster, "") {
			return refuse(errClusterAuthorizationFailed, "not allowed to alter the cluster")
		}
		if kind == kmsg.ConfigResourceTypeBroker {
			return refuse(errInvalidRequest, "a server's settings are those it was started with; settings of topics are changed at the topic")
		}
		return refuse(errInvalidRequest, fmt.Sprintf("resources of type %s have no settings", kind))
	}
	if !s.allows(access.Alter, access.Topic, t.Name) {
		return refuse(errTopicAuthorizationFailed, "not allowed to alter the topic")
	}
	for _, other := range s.topics {
		if other.Name == t.Name {
			return refuse(errInvalidRequest, "the request names the topic more than once")
		}
	}
	s.topics = append(s.topics, t)
	s.at = append(s.at, i)
	return errNone, nil
}

// run has the broker carry out the changes. It calls each for every one that
// was added, with its index in the request, and then finish.
func (s *configChanges) run(validateOnly bool, each func(i int, err error), finish func()) {
	if len(s.topics) == 0 {
		finish()
		return
	}
	s.server.opts.Broker.AlterTopics(s.topics, validateOnly, func(results []broker.TopicResult) {
		for i := range results {
			each(s.at[i], results[i].Err)
		}
		finish()
	})
}
