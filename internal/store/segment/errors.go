package segment

import "fmt"

// DamageError reports bytes of a file that are not what was written.
type DamageError struct {
	Path   string
	Offset int64 // where the damaged part begins, in bytes
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged at offset %d: %s", e.Path, e.Offset, e.Reason)
}

func damaged(path string, off int64, format string, args ...any) error {
	return &DamageError{Path: path, Offset: off, Reason: fmt.Sprintf(format, args...)}
}
