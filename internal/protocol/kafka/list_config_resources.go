package kafka

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
)

// ListConfigResources, key 74, versions 0-1.
//
// Lists what has settings, by type (version 1; version 0 is about the
// subscriptions of client metrics alone, of which there are none): the topics,
// the nodes, and the nodes once more for their loggers. Groups have no settings
// of their own here.

// configResources are the types that Kafka's brokers list when none is asked for.
var configResources = []kmsg.ConfigResourceType{
	kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger,
	kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeGroupConfig,
}

func listConfigResources(c *call, req *kmsg.ListConfigResourcesRequest) {
	resp := kmsg.NewPtrListConfigResourcesResponse()
	var wanted []kmsg.ConfigResourceType
	for _, t := range req.ResourceTypes {
		wanted = append(wanted, kmsg.ConfigResourceType(t))
	}
	switch {
	case req.Version == 0:
		wanted = []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeClientMetrics}
	case len(wanted) == 0:
		wanted = configResources
	}
	unknown := func(t kmsg.ConfigResourceType) bool { return !slices.Contains(configResources, t) }
	switch {
	case !c.allows(access.Describe, access.Cluster, ""):
		resp.ErrorCode = errClusterAuthorizationFailed
	case slices.ContainsFunc(wanted, unknown):
		resp.ErrorCode = errUnsupportedVersion
	default:
		for _, t := range wanted {
			for _, name := range c.configured(t) {
				r := kmsg.NewListConfigResourcesResponseConfigResource()
				r.Name, r.Type = name, int8(t)
				resp.ConfigResources = append(resp.ConfigResources, r)
			}
		}
	}
	c.reply(resp)
}

// configured returns the names of the resources of a type that have settings.
func (c *call) configured(t kmsg.ConfigResourceType) (names []string) {
	b := c.server.opts.Broker
	switch t {
	case kmsg.ConfigResourceTypeTopic:
		for topic := range b.Topics() {
			names = append(names, topic.Name)
		}
	case kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger:
		for _, n := range b.Nodes() {
			names = append(names, strconv.FormatUint(uint64(n.ID), 10))
		}
	default:
	}
	return names
}
