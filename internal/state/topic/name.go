package topic

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// ValidateName returns an error that wraps ErrInvalidName unless Kafka would
// accept name for a topic: 1 to 249 characters of [a-zA-Z0-9._-], not "." or
// "..".
func ValidateName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrInvalidName)
	case name == "." || name == "..":
		return fmt.Errorf("%w: it cannot be %q", ErrInvalidName, name)
	case len(name) > MaxNameLen:
		return fmt.Errorf("%w: it is longer than %d characters", ErrInvalidName, MaxNameLen)
	case strings.IndexFunc(name, notInName) >= 0:
		return fmt.Errorf("%w: %q has a character other than ASCII letters, digits, '.', '_' and '-'", ErrInvalidName, name)
	}
	return nil
}

// ValidateQueueName returns an error that wraps ErrInvalidName unless name can be
// that of a queue: 1 to MaxQueueNameLen bytes of UTF-8 without NUL. Where Kafka
// could not spell it, Kafka's clients do not see the queue.
func ValidateQueueName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrInvalidName)
	case len(name) > MaxQueueNameLen:
		return fmt.Errorf("%w: it is longer than %d bytes", ErrInvalidName, MaxQueueNameLen)
	case !utf8.ValidString(name) || strings.Contains(name, "\x00"):
		return fmt.Errorf("%w: %q is not UTF-8 without NUL", ErrInvalidName, name)
	}
	return nil
}

func notInName(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '_' || r == '-')
}

// name identifies a topic within the cluster.
type name struct{ tenant, name string }

// fold maps the names that metrics would confuse to one; false if the name has
// nothing to confuse.
func (n name) fold() (name, bool) {
	if !strings.ContainsAny(n.name, "._") {
		return n, false
	}
	return name{n.tenant, strings.ReplaceAll(n.name, ".", "_")}, true
}
