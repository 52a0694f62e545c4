package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/state/access"
)

// DescribeCluster, key 60, versions 0-2.
//
// Tells the nodes of the cluster, its id and its controller. There are no
// controllers apart from the nodes, so a request for their endpoints
// (version 1) is refused as by a Kafka broker, with MISMATCHED_ENDPOINT_TYPE.

// brokerEndpoints is the type of endpoint that a broker lists.
const brokerEndpoints = 1

func describeCluster(c *call, req *kmsg.DescribeClusterRequest) {
	resp := kmsg.NewPtrDescribeClusterResponse()
	resp.EndpointType = brokerEndpoints
	b := c.server.opts.Broker
	switch {
	case !c.allows(access.Describe, access.Cluster, ""):
		resp.ErrorCode = errClusterAuthorizationFailed
	case req.Version >= 1 && req.EndpointType != brokerEndpoints:
		resp.ErrorCode = errMismatchedEndpointType
		resp.EndpointType = req.EndpointType
	default:
		resp.ClusterID = clusterID(b.ClusterID())
		resp.ControllerID = nodeID(b.Controller())
		for _, e := range c.endpoints() {
			n := kmsg.NewDescribeClusterResponseBroker()
			n.NodeID, n.Host, n.Port = e.Node, e.Host, e.Port
			if e.Rack != "" {
				n.Rack = &e.Rack
			}
			resp.Brokers = append(resp.Brokers, n)
		}
		if req.IncludeClusterAuthorizedOperations {
			resp.ClusterAuthorizedOperations = c.authorizedOperations(access.Cluster, "")
		}
	}
	c.reply(resp)
}
