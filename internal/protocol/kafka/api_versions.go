package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ApiVersions, key 18, versions 0-4.
//
// Lists what the server speaks. A version that the server does not know is
// answered in version 0 with UNSUPPORTED_VERSION and the list, so that the
// client can ask again (KIP-511). The list shows a little more than is served:
// see the rows of the table in api.go whose advertised versions differ.
//
// Finalized features are switches in clients (transaction.version=2 turns on
// KIP-890), so none is published before the server has what it announces.
// Known gaps: of the features of Kafka only transaction.version is published.

// feature is a supported feature with its range of versions.
type feature struct {
	name     string
	min, max int16
}

// features lists what ApiVersions publishes as supported.
// Those with max above 0 are finalized at it.
var features = []feature{{name: "transaction.version", min: 0, max: 2}}

func apiVersions(c *call, req *kmsg.ApiVersionsRequest) {
	resp := kmsg.NewPtrApiVersionsResponse()
	if req.Version >= 3 {
		if !validSoftware(req.ClientSoftwareName) || !validSoftware(req.ClientSoftwareVersion) {
			resp.ErrorCode = errInvalidRequest
			c.reply(resp)
			return
		}
		c.softwareName, c.softwareVersion = req.ClientSoftwareName, req.ClientSoftwareVersion
	}
	resp.ApiKeys = c.server.table.advertised()
	resp.SupportedFeatures = supported(features, req.Version)
	resp.FinalizedFeaturesEpoch = finalizedEpoch
	resp.FinalizedFeatures = finalized(features)
	c.reply(resp)
}

// apiVersionsFallback answers a version that is not known.
func apiVersionsFallback(c *call) {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = errUnsupportedVersion
	resp.ApiKeys = c.server.table.advertised()
	c.reply(resp)
}

// advertised returns the table as ApiVersions shows it.
func (t *table) advertised() []kmsg.ApiVersionsResponseApiKey {
	keys := make([]kmsg.ApiVersionsResponseApiKey, 0, len(t.rows))
	for i := range t.rows {
		r := &t.rows[i]
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = r.key, r.advertised.min, r.advertised.max
		keys = append(keys, k)
	}
	return keys
}

// supported returns the features for a version of the request: clients before
// version 4 reject a response with a feature whose range begins at 0
// (KAFKA-17011).
func supported(fs []feature, version int16) []kmsg.ApiVersionsResponseSupportedFeature {
	var out []kmsg.ApiVersionsResponseSupportedFeature
	for _, f := range fs {
		if f.min == 0 && version < 4 {
			continue
		}
		s := kmsg.NewApiVersionsResponseSupportedFeature()
		s.Name, s.MinVersion, s.MaxVersion = f.name, f.min, f.max
		out = append(out, s)
	}
	return out
}

// finalizedEpoch is the version of the set of finalized features, which does not
// change while the server runs.
const finalizedEpoch = 0

// finalized returns the features that are switched on.
func finalized(fs []feature) []kmsg.ApiVersionsResponseFinalizedFeature {
	var out []kmsg.ApiVersionsResponseFinalizedFeature
	for _, f := range fs {
		s := kmsg.NewApiVersionsResponseFinalizedFeature()
		s.Name, s.MinVersionLevel, s.MaxVersionLevel = f.name, f.max, f.max
		out = append(out, s)
	}
	return out
}

// validSoftware checks a client software name or version as KIP-511 demands:
// letters, digits, dots and hyphens, the latter two not at the ends.
func validSoftware(s string) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9':
		case (b == '.' || b == '-') && i > 0 && i < len(s)-1:
		default:
			return false
		}
	}
	return s != ""
}
