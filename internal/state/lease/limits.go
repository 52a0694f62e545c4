package lease

// Limits.
const (
	// maxName bounds the names in settings, in bytes (AMQP's short string).
	maxName = 255
)
