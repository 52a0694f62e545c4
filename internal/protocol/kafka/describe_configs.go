package kafka

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/topic"
)

// DescribeConfigs, key 32, versions 1-4.
//
// Tells every setting of a topic, since clients read, change and write back all
// of them: its value, where that comes from, the broker's setting that stands
// behind the default (the synonym), its type and documentation (version 3).
// No names, or an empty list of them, ask for all.
//
// Of a broker it tells, read-only, the defaults of topics under the names that
// Kafka's brokers have for them, and a few settings that tools ask for. Loggers
// of brokers, client metrics and groups have no settings here: the answer is
// INVALID_REQUEST.

// setting is one setting as clients are shown it.
type setting struct {
	name, value string
	source      kmsg.ConfigSource
	kind        kmsg.ConfigType
	doc         string
	readOnly    bool
	// synonyms are the settings that would give the value, the one that does
	// first.
	synonyms []synonym
}

type synonym struct {
	name, value string
	source      kmsg.ConfigSource
}

func describeConfigs(c *call, req *kmsg.DescribeConfigsRequest) {
	resp := kmsg.NewPtrDescribeConfigsResponse()
	for i := range req.Resources {
		asked := &req.Resources[i]
		answer := kmsg.NewDescribeConfigsResponseResource()
		answer.ResourceType, answer.ResourceName = asked.ResourceType, asked.ResourceName
		settings, code, message := c.settingsOf(asked.ResourceType, asked.ResourceName)
		if answer.ErrorCode = code; code != errNone {
			answer.ErrorMessage = &message
		}
		for i := range settings {
			if s := &settings[i]; len(asked.ConfigNames) == 0 || slices.Contains(asked.ConfigNames, s.name) {
				answer.Configs = append(answer.Configs, s.describe(req))
			}
		}
		resp.Resources = append(resp.Resources, answer)
	}
	c.reply(resp)
}

// settingsOf returns all settings of a resource, or why it has none.
func (c *call) settingsOf(kind kmsg.ConfigResourceType, name string) (out []setting, code int16, message string) {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		if !c.allows(access.Describe, access.Topic, name) {
			return nil, errTopicAuthorizationFailed, "not allowed to describe the topic"
		}
		t := c.server.opts.Broker.Topic(name)
		if t == nil {
			return nil, errUnknownTopicOrPartition, broker.ErrUnknownTopic.Error()
		}
		return topicSettings(t.Config), errNone, ""
	case kmsg.ConfigResourceTypeBroker:
		if !c.allows(access.Describe, access.Cluster, "") {
			return nil, errClusterAuthorizationFailed, "not allowed to describe the cluster"
		}
		self := strconv.FormatUint(uint64(c.server.opts.Broker.NodeID()), 10)
		switch name {
		case "": // what was set for all brokers: nothing can be
			return nil, errNone, ""
		case self:
			return c.brokerSettings(self), errNone, ""
		}
		return nil, errInvalidRequest, fmt.Sprintf("this is broker %s, not %q", self, name)
	default:
		return nil, errInvalidRequest, fmt.Sprintf("resources of type %s have no settings", kind)
	}
}

// topicSettings returns every setting of a topic that has config on top of the
// defaults.
func topicSettings(config []broker.Config) []setting {
	var out []setting
	for d := range topic.ConfigDefs() {
		s := setting{
			name: d.Name, value: d.Default, source: kmsg.ConfigSourceDefaultConfig,
			kind: kmsg.ConfigType(d.Type), doc: d.Doc,
		}
		if i := slices.IndexFunc(config, func(c broker.Config) bool { return c.Name == d.Name }); i >= 0 {
			s.value, s.source = config[i].Value, kmsg.ConfigSourceDynamicTopicConfig
			s.synonyms = append(s.synonyms, synonym{d.Name, s.value, s.source})
		}
		if d.Synonym != "" {
			s.synonyms = append(s.synonyms, synonym{d.Synonym, d.Default, kmsg.ConfigSourceDefaultConfig})
		}
		out = append(out, s)
	}
	return out
}

// describe returns a setting as the response has it.
func (s *setting) describe(req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	out := kmsg.NewDescribeConfigsResponseResourceConfig()
	out.Name, out.Value, out.Source, out.ReadOnly = s.name, &s.value, s.source, s.readOnly
	out.ConfigType = s.kind
	if req.IncludeDocumentation {
		out.Documentation = &s.doc
	}
	if !req.IncludeSynonyms {
		return out
	}
	for i := range s.synonyms {
		syn := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		syn.Name, syn.Value, syn.Source = s.synonyms[i].name, &s.synonyms[i].value, s.synonyms[i].source
		out.ConfigSynonyms = append(out.ConfigSynonyms, syn)
	}
	return out
}
