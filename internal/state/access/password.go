package access

import (
	"crypto/md5" //nolint:gosec // what is imported may have been hashed by it
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
)

// Hashing is how a password was hashed: the salt of 4 bytes and the password,
// by one of RabbitMQ's algorithms, so that its definitions can be imported.
type Hashing uint8

// The algorithms. The numbers are logged.
const (
	SHA256 Hashing = iota + 1 // what new passwords get
	SHA512
	MD5 // only for what is imported
)

var hashingNames = [...]string{"", "rabbit_password_hashing_sha256", "rabbit_password_hashing_sha512", "rabbit_password_hashing_md5"}

// String returns RabbitMQ's name of the algorithm.
func (h Hashing) String() string {
	if h > 0 && int(h) < len(hashingNames) {
		return hashingNames[h]
	}
	return fmt.Sprintf("hashing(%d)", uint8(h))
}

// ParseHashing returns the algorithm of RabbitMQ's name; "" is SHA256.
func ParseHashing(name string) (Hashing, error) {
	if name == "" {
		return SHA256, nil
	}
	for h := SHA256; int(h) < len(hashingNames); h++ {
		if hashingNames[h] == name {
			return h, nil
		}
	}
	return 0, fmt.Errorf("%w: no such password hashing: %q", ErrInvalidUser, name)
}

// saltLen is RabbitMQ's.
const saltLen = 4

// HashPassword returns the salt and the hash of salt and password.
func (h Hashing) HashPassword(salt [saltLen]byte, password string) []byte {
	return append(salt[:], h.sum(append(salt[:], password...))...)
}

func (h Hashing) sum(b []byte) []byte {
	switch h {
	case SHA512:
		s := sha512.Sum512(b)
		return s[:]
	case MD5:
		s := md5.Sum(b) //nolint:gosec // as above
		return s[:]
	}
	s := sha256.Sum256(b)
	return s[:]
}

// size returns the length of a hash with its salt.
func (h Hashing) size() int {
	return saltLen + map[Hashing]int{SHA256: sha256.Size, SHA512: sha512.Size, MD5: md5.Size}[h]
}

// matches reports whether a password has this hash.
func (h Hashing) matches(hash []byte, password string) bool {
	if len(hash) != h.size() {
		return false
	}
	salt := [saltLen]byte(hash)
	return subtle.ConstantTimeCompare(h.HashPassword(salt, password), hash) == 1
}
