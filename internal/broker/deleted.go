package broker

import (
	"sync"
	"time"

	"github.com/polylog-mq/polylog/internal/state/topic"
)

// deletions remembers the topics that were deleted a moment ago.
type deletions struct {
	mu sync.Mutex
	at map[string]time.Duration // by name, in the default tenant
}

// note takes down that a topic was deleted.
func (d *deletions) note(t *topic.Topic, now time.Duration) {
	if t.Tenant != "" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at == nil || len(d.at) >= maxDeleted {
		old := d.at
		d.at = map[string]time.Duration{}
		for name, at := range old {
			if now-at < deletedFor && len(d.at) < maxDeleted/2 {
				d.at[name] = at
			}
		}
	}
	d.at[t.Name] = now
}

// recent reports whether a topic of this name was deleted a moment ago.
func (d *deletions) recent(name string, now time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.at[name]
	return ok && now-at < deletedFor
}

// JustDeleted reports whether this node has learnt within the last half second
// that the topic of this name was deleted. A protocol that makes topics on first
// use does not make it anew so soon: whoever still holds on to it, a consumer
// above all, would have it back at once, with the defaults for settings.
func (b *Broker) JustDeleted(name string) bool { return b.deleted.recent(name, b.opts.Clock.Mono()) }
