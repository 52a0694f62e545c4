package management

// feature is a feature flag, as RabbitMQ lists them.
type feature struct {
	Name       string `json:"name"`
	Desc       string `json:"desc"`
	DocURL     string `json:"doc_url"`
	State      string `json:"state"`
	Stability  string `json:"stability"`
	ProvidedBy string `json:"provided_by"`
}

// features are the flags by which tools find out whether something is there, of
// what is. Nothing has to be switched on here.
var features = []feature{
	flagged("drop_unroutable_metric", "Unroutable messages that are dropped are counted"),
	flagged("empty_basic_get_metric", "basic.get of an empty queue is counted"),
	flagged("implicit_default_bindings", "The default exchange has no stored bindings"),
	flagged("quorum_queue", "Queues of the type quorum"),
	flagged("user_limits", "Limits on connections and channels of a user"),
	flagged("virtual_host_metadata", "Virtual hosts have a description and tags"),
}

func flagged(name, desc string) feature {
	return feature{Name: name, Desc: desc, State: "enabled", Stability: "stable", ProvidedBy: "polylog"}
}

func (a *api) featureFlags(q *request) { rows(q, features) }

func (a *api) enableFeature(q *request) {
	for _, f := range features {
		if name := q.r.PathValue("name"); name == f.Name || name == "all" {
			q.done(false)
			return
		}
	}
	q.notFound()
}

// deprecated is a feature that RabbitMQ is about to lose.
type deprecated struct {
	Name       string `json:"name"`
	Desc       string `json:"desc"`
	Phase      string `json:"deprecation_phase"`
	DocURL     string `json:"doc_url"`
	ProvidedBy string `json:"provided_by"`
}

// deprecatedFeatures are what RabbitMQ deprecates and works here.
var deprecatedFeatures = []deprecated{
	{"global_qos", "basic.qos with global set is one limit for a channel", "permitted_by_default", "", "polylog"},
	{"transient_nonexcl_queues", "Queues that end with the server without being exclusive", "permitted_by_default", "", "polylog"},
}

func (a *api) deprecatedFeatures(q *request) { rows(q, deprecatedFeatures) }
