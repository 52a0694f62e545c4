package route

// Limits of what the state holds and of what its decoders accept.
const (
	// MaxDepth is how deep tables and arrays may be nested.
	MaxDepth = 16
	// MaxTableLen bounds the arguments of an exchange or a binding, in bytes.
	MaxTableLen = 1 << 16
	// MaxNameLen bounds the names of exchanges and tenants, and MaxKeyLen a
	// routing key, in bytes (AMQP's short string).
	MaxNameLen = 255
	MaxKeyLen  = 255
	// MaxHashes bounds the '#' of one pattern, and MaxWeight the weight of a
	// binding in consistent hashing.
	MaxHashes = 8
	MaxWeight = 1000
	// MaxPolicies bounds a cluster: every one is looked at for every declaration.
	// MaxPatternLen bounds the pattern of one, in bytes.
	MaxPolicies   = 1 << 10
	MaxPatternLen = 1024
	// MaxTenants, MaxExchanges and MaxBindings bound a cluster.
	MaxTenants   = 1 << 16
	MaxExchanges = 1 << 18
	MaxBindings  = 1 << 22
	// maxVisited bounds the exchanges that one message passes.
	maxVisited = 1 << 12

	// pageVersion begins the value of every checkpoint page.
	pageVersion = 1
	// bindingsPerPage bounds a checkpoint page of bindings.
	bindingsPerPage = 64
	// pointsPerWeight is how finely a consistent hash divides its ring.
	pointsPerWeight = 40
)
