package broker

import (
	"io"
	"log/slog"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/record"
)

// Options says what a broker stands on. The store and the Raft host join it as
// their packages land.
type Options struct {
	// Node is this node's id.
	Node record.NodeID
	// Nodes lists the members with the addresses they advertise; nil: this node
	// alone, with no address (a protocol then advertises the address that the
	// client connected to).
	Nodes []Node
	// Clock is the time that sessions and long polls are measured by.
	Clock clock.Clock
	// Rand makes uuids. Default: crypto/rand.Reader.
	Rand io.Reader
	// Logger; default slog.Default().
	Logger *slog.Logger
	// Shards is the number of data shards of a fresh cluster. Default 16.
	Shards int
	// DefaultPartitions is the partition count of topics that do not say one
	// (num.partitions). Default 1.
	DefaultPartitions int32
	// AutoCreate lets protocols make topics on first use. The broker itself
	// never does; see AutoCreateTopics.
	AutoCreate bool
}

// Node is a member of the cluster as clients see it.
type Node struct {
	ID record.NodeID
	// Rack is its failure domain, "" if none.
	Rack string
	// Addresses maps a protocol's name (kafka, amqp, ...) to host:port.
	Addresses map[string]string
}

// Broker is the state of one node. All methods may be called from any
// goroutine.
type Broker struct{ opts Options }

// Open recovers the node's shards, or begins a fresh cluster of one node in an
// empty store, and returns at once; Ready tells when it serves.
func Open(opts Options) (*Broker, error) { panic("unfilled") }

// Ready is closed once every shard of this node has a leader and has applied
// what was committed before the start.
func (b *Broker) Ready() <-chan struct{} { panic("unfilled") }

// Close refuses new operations with ErrClosed, lets those under way finish for
// a bounded time, and takes a last checkpoint. The store and the host stay
// open: they belong to the caller.
func (b *Broker) Close() error { panic("unfilled") }

// ClusterID returns the uuid that the cluster got when it was begun.
func (b *Broker) ClusterID() [16]byte { panic("unfilled") }

// NodeID returns this node's id.
func (b *Broker) NodeID() record.NodeID { return b.opts.Node }

// Nodes returns the members, ordered by id. The result is shared: read only.
func (b *Broker) Nodes() []Node { return b.opts.Nodes }

// Controller returns the leader of the metadata group, 0 if none is known.
func (b *Broker) Controller() record.NodeID { panic("unfilled") }

// AutoCreateTopics reports whether a protocol may create a topic on first use.
func (b *Broker) AutoCreateTopics() bool { return b.opts.AutoCreate }

// Accepting reports whether a connection should go on reading requests. When
// too many bytes are under way, or the store asks for a pause, it is false, and
// resume is called once, from any goroutine, when reading may go on; resume
// must not block. A connection that reads on regardless meets ErrBusy.
func (b *Broker) Accepting(resume func()) bool { panic("unfilled") }

// AllocateProducerID answers a producer id that was never given before.
func (b *Broker) AllocateProducerID(done func(id int64, err error)) { panic("unfilled") }
