package access

// Limits of what the state holds and of what its decoders accept.
const (
	// MaxUsers bounds a cluster, MaxPermissions the permissions of one user.
	MaxUsers       = 1 << 16
	MaxPermissions = 1 << 12
	// MaxNameLen bounds the names of users, tenants and exchanges, in bytes.
	MaxNameLen = 255
	// MaxPatternLen bounds a regular expression, in bytes.
	MaxPatternLen = 1024
	// MaxTags bounds the tags of a user.
	MaxTags = 64
	// maxHashLen bounds a password's hash, in bytes.
	maxHashLen = 128

	// pageVersion begins the value of every checkpoint page.
	pageVersion = 1
)
