package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
)

// IncrementalAlterConfigs, key 44, versions 0-1.
//
// Changes settings of topics one by one: sets them, puts them back to their
// defaults, adds to lists and takes from them. The answer comes when the shards
// obey. Only topics have settings that can be changed.

func incrementalAlterConfigs(c *call, req *kmsg.IncrementalAlterConfigsRequest) {
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	changes := configChanges{call: c}
	for i := range req.Resources {
		asked := &req.Resources[i]
		answer := kmsg.NewIncrementalAlterConfigsResponseResource()
		answer.ResourceType, answer.ResourceName = asked.ResourceType, asked.ResourceName
		change, err := incrementalChange(asked)
		if err != nil {
			answer.ErrorCode, answer.ErrorMessage = errInvalidConfig, messageOf(err)
		} else {
			answer.ErrorCode, answer.ErrorMessage = changes.add(i, asked.ResourceType, change)
		}
		resp.Resources = append(resp.Resources, answer)
	}
	changes.run(req.ValidateOnly, func(i int, err error) {
		resp.Resources[i].ErrorCode, resp.Resources[i].ErrorMessage = controllerCode(err), messageOf(err)
	}, func() { c.reply(resp) })
}

// incrementalChange turns what is asked for one resource into the broker's
// terms.
func incrementalChange(asked *kmsg.IncrementalAlterConfigsRequestResource) (t broker.AlterTopic, err error) {
	t.Name = asked.ResourceName
	for _, cfg := range asked.Configs {
		change := broker.ConfigChange{Op: broker.ConfigOp(cfg.Op), Name: cfg.Name}
		switch {
		case change.Op > broker.ConfigSubtract:
			return t, fmt.Errorf("there is no operation %d", cfg.Op)
		case cfg.Value != nil:
			change.Value = *cfg.Value
		case change.Op != broker.ConfigDelete:
			return t, fmt.Errorf("the setting %s has no value", cfg.Name)
		}
		t.Changes = append(t.Changes, change)
	}
	return t, nil
}
