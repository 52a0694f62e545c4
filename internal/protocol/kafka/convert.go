package kafka

import (
	"encoding/base64"

	"github.com/polylog-mq/polylog/internal/state/access"
)

// clusterID returns the cluster's uuid as Kafka writes one: 22 characters of
// URL-safe base64.
func clusterID(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// operations maps Kafka's ACL operations, by their number, to actions, for each
// type of resource.
var operations = map[access.Type][]struct {
	bit    uint
	action access.Action
}{
	access.Topic: {
		{3, access.Consume}, {4, access.Produce}, {5, access.Create}, {6, access.Delete}, {7, access.Alter},
		{8, access.Describe}, {10, access.Describe}, {11, access.Alter},
	},
	access.Group: {
		{3, access.Consume}, {6, access.Delete}, {8, access.Describe},
	},
	access.Cluster: {
		{5, access.Create}, {7, access.Admin}, {8, access.Describe}, {9, access.Admin},
		{10, access.Describe}, {11, access.Admin}, {12, access.Produce},
	},
}

// authorizedOperations returns the bit field of Kafka's operations that the
// caller may do to a resource.
func (c *call) authorizedOperations(t access.Type, name string) int32 {
	var bits int32
	for _, op := range operations[t] {
		if c.server.authorize(c, op.action, t, name) == nil {
			bits |= 1 << op.bit
		}
	}
	return bits
}
