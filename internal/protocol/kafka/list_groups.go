package kafka

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/group"
)

// ListGroups, key 16, versions 0-5.
//
// Lists the groups that this node coordinates; from version 4 only those in the
// states asked for, from version 5 only those of the types asked for. Who may
// not describe the cluster sees the groups that it may describe.
// Known gaps: all groups are of the type classic.

// classicType is the type of all groups.
const classicType = "classic"

func listGroups(c *call, req *kmsg.ListGroupsRequest) {
	everything := c.allows(access.Describe, access.Cluster, "")
	c.server.opts.Broker.ListGroups(func(found []group.Summary, err error) {
		resp := kmsg.NewPtrListGroupsResponse()
		resp.ErrorCode = coordinatorCode(err)
		for _, s := range found {
			if !among(req.StatesFilter, s.Phase.String()) || !among(req.TypesFilter, classicType) ||
				!c.allows(access.Describe, access.Group, s.Group) && !everything {
				continue
			}
			g := kmsg.NewListGroupsResponseGroup()
			g.Group, g.ProtocolType, g.GroupState, g.GroupType = s.Group, s.ProtocolType, s.Phase.String(), classicType
			resp.Groups = append(resp.Groups, g)
		}
		c.reply(resp)
	})
}

// among reports whether a filter lets a value through; an empty one lets all.
func among(filter []string, value string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, value) })
}
