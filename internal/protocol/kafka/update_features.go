package kafka

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
)

// UpdateFeatures, key 57, versions 0-2.
//
// The features that ApiVersions lists are always at their highest level, so the
// only update that is taken is the one that changes nothing; any other is
// INVALID_UPDATE_VERSION.

func updateFeatures(c *call, req *kmsg.UpdateFeaturesRequest) {
	resp := kmsg.NewPtrUpdateFeaturesResponse()
	if !c.allows(access.Admin, access.Cluster, "") {
		resp.ErrorCode = errClusterAuthorizationFailed
		c.reply(resp)
		return
	}
	for i := range req.FeatureUpdates {
		u := &req.FeatureUpdates[i]
		answer := kmsg.NewUpdateFeaturesResponseResult()
		answer.Feature = u.Feature
		if err := checkFeature(u); err != nil {
			answer.ErrorCode, answer.ErrorMessage = errInvalidUpdateVersion, messageOf(err)
			// One that fails fails all (KIP-1022), and version 2 has no results.
			resp.ErrorCode, resp.ErrorMessage = answer.ErrorCode, answer.ErrorMessage
		}
		resp.Results = append(resp.Results, answer)
	}
	c.reply(resp)
}

func checkFeature(u *kmsg.UpdateFeaturesRequestFeatureUpdate) error {
	i := slices.IndexFunc(features, func(f feature) bool { return f.name == u.Feature })
	switch {
	case i < 0:
		return fmt.Errorf("there is no feature %q", u.Feature)
	case u.MaxVersionLevel != features[i].max:
		return fmt.Errorf("%s is at level %d and stays there", u.Feature, features[i].max)
	}
	return nil
}
