package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"

	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/group"
	"github.com/polylog-mq/polylog/internal/state/parameter"
	"github.com/polylog-mq/polylog/internal/state/topic"
	"github.com/polylog-mq/polylog/internal/store"
)

// Options says what a broker stands on. Store and Host are required.
type Options struct {
	// Node is this node's id. Default: the store's, or 1 in an empty store.
	Node record.NodeID
	// Nodes lists the members, ordered by id, with the addresses they
	// advertise. Default: this node alone, with no address (a protocol then
	// advertises the address that the client connected to).
	Nodes []Node
	// Store is open, and stays open until after Close.
	Store *store.Store
	// Host has no groups yet and runs after Open.
	Host *replica.Host
	// Clock is the time that sessions and long polls are measured by. Default:
	// the system's.
	Clock clock.Clock
	// Rand makes uuids. Default: crypto/rand.Reader.
	Rand io.Reader
	// Logger; the default discards.
	Logger *slog.Logger
	// Policy says what they may do who give no name. The default trusts loopback.
	Policy access.Policy
	// Shards is the number of data shards of a fresh cluster. Default
	// DefaultShards.
	Shards int
	// InFlight bounds the bytes that are under way. Default DefaultInFlight.
	InFlight int64
	// DefaultPartitions is the partition count of topics that do not say one
	// (num.partitions). Default 1.
	DefaultPartitions int32
	// Groups are the settings of consumer groups. Default
	// group.DefaultSettings.
	Groups group.Settings
	// AutoCreate lets protocols make topics on first use. The broker itself
	// never does; see AutoCreateTopics.
	AutoCreate bool
	// Background runs what may wait for a disk, beside the loops. The default is a
	// few goroutines; a test that wants to own every step runs it at once.
	Background func(func())
}

// Node is a member of the cluster as clients see it.
type Node struct {
	ID record.NodeID
	// Rack is its failure domain, "" if none.
	Rack string
	// Addresses maps a protocol's name (kafka, kafka+tls, ...) to host:port; none
	// or "": the address that a client came in by.
	Addresses map[string]string
}

// Broker is the state of one node. All methods may be called from any
// goroutine.
type Broker struct {
	opts  Options
	log   *slog.Logger
	store storage
	meta  store.Meta

	metadata *metadata
	shards   map[record.ShardID]*shard // fixed from Open on
	slots    atomic.Pointer[[topic.Slots]record.ShardID]
	view     *view
	deleted  deletions
	routing  routing
	users    atomic.Pointer[access.Snapshot]

	parameters atomic.Pointer[parameter.Snapshot]
	// queuesCreated and queuesDeleted count what the metadata group has applied.
	queuesCreated, queuesDeleted atomic.Int64

	// incarnation counts the starts of this node, 0 until it is known.
	incarnation atomic.Uint64
	// sessions counts those that were opened.
	sessions atomic.Uint64

	background background
	budget     *budget
	health     *checkup
	ids        producerIDs
	closed     atomic.Bool

	ready   readiness
	handles struct {
		sync.Mutex
		byID map[record.PartitionID]*Partition
	}
	randMu sync.Mutex
}

// Open recovers the node's shards, or begins a fresh cluster of one node in an
// empty store, and opens their groups on the host. It serves once the host
// runs; Ready tells when.
func Open(opts Options) (*Broker, error) {
	if err := bootstrap(&opts); err != nil {
		return nil, err
	}
	b := &Broker{opts: opts, log: opts.Logger, store: opts.Store, view: newView()}
	b.meta, _ = opts.Store.Meta()
	b.shards = map[record.ShardID]*shard{}
	b.handles.byID = map[record.PartitionID]*Partition{}
	b.health = newCheckup(opts.Clock, b.store.Health)
	b.background.outside = opts.Background
	b.budget = newBudget(opts.InFlight, opts.Clock, func() float64 { return b.health.get().Debt })
	b.ready.done = make(chan struct{})

	b.metadata = newMetadata(b)
	var err error
	if b.metadata.group, err = opts.Host.Open(record.MetadataShard, b.metadata); err != nil {
		return nil, fmt.Errorf("opening the metadata group: %w", err)
	}
	for _, id := range b.metadata.catalog.Shards() {
		s := b.shards[id]
		if s.group, err = opts.Host.Open(id, s); err != nil {
			return nil, fmt.Errorf("opening shard %d: %w", id, err)
		}
	}
	b.ready.expect(len(b.shards) + 2)
	return b, nil
}

// bootstrap completes the options and, in an empty store, begins a cluster.
func bootstrap(o *Options) error {
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Shards == 0 {
		o.Shards = DefaultShards
	}
	if o.InFlight == 0 {
		o.InFlight = DefaultInFlight
	}
	if o.Groups == (group.Settings{}) {
		o.Groups = group.DefaultSettings()
	}
	if o.DefaultPartitions == 0 {
		o.DefaultPartitions = 1
	}
	meta, ok := o.Store.Meta()
	switch {
	case !ok && o.Node == 0:
		o.Node = 1
	case ok && o.Node == 0:
		o.Node = meta.Node
	case ok && o.Node != meta.Node:
		return fmt.Errorf("the data directory belongs to node %d, not to node %d", meta.Node, o.Node)
	}
	if o.Nodes == nil {
		o.Nodes = []Node{{ID: o.Node}}
	}
	if ok {
		return nil
	}
	return beginCluster(o)
}

// beginCluster writes the first state of a cluster of one node: the metadata
// group, whose catalog has the data shards, and these, without partitions.
func beginCluster(o *Options) error {
	id, err := newUUID(o.Rand)
	if err != nil {
		return err
	}
	catalog := topic.NewCatalog()
	begin := &topic.Bootstrap{}
	for i := range o.Shards {
		begin.Shards = append(begin.Shards, record.MetadataShard+1+record.ShardID(i))
	}
	if _, err := catalog.Apply(0, begin); err != nil {
		return fmt.Errorf("beginning a cluster: %w", err)
	}
	cuts := make([]store.GroupCut, len(begin.Shards)+1)
	for i, g := range append([]record.ShardID{record.MetadataShard}, begin.Shards...) {
		if cuts[i], err = replica.Bootstrap(g, o.Node); err != nil {
			return fmt.Errorf("beginning group %d: %w", g, err)
		}
	}
	first := pages{}
	first.add(pageCatalog, catalog)
	storePages(&cuts[0], &first)
	if err := o.Store.Bootstrap(store.Meta{Cluster: id, Node: o.Node}, cuts); err != nil {
		return fmt.Errorf("beginning a cluster: %w", err)
	}
	return nil
}

// Ready is closed once every shard of this node has a leader and, where this
// node leads, has applied what was committed before the start, and what was to
// end with the node's last incarnation is deleted.
func (b *Broker) Ready() <-chan struct{} { return b.ready.done }

// Close refuses new operations with ErrClosed and waits until those under way
// are answered or ctx is done, whose error it then returns. The store and the
// host stay open: stop them afterwards.
func (b *Broker) Close(ctx context.Context) error {
	select {
	case <-b.Drain():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("closing the broker: %w", ctx.Err())
	}
}

// Drain refuses new operations with ErrClosed and returns a channel that is
// closed once those under way are answered.
func (b *Broker) Drain() <-chan struct{} {
	b.closed.Store(true)
	for _, id := range sortedKeys(b.shards) {
		b.shards[id].queues.finish()
	}
	b.EndWaits()
	return b.budget.drained()
}

// EndWaits answers all who wait for others, members for the rest of their group
// above all, with ErrClosed: a node that stops has not the time. It returns at
// once, and refuses nothing that comes later.
func (b *Broker) EndWaits() {
	b.endGroupWaits()
	b.endTxnWaits()
}

// ClusterID returns the uuid that the cluster got when it was begun.
func (b *Broker) ClusterID() [16]byte { return b.meta.Cluster }

// NodeID returns this node's id.
func (b *Broker) NodeID() record.NodeID { return b.opts.Node }

// Nodes returns the members, ordered by id. The result is shared: read only.
func (b *Broker) Nodes() []Node { return b.opts.Nodes }

// Controller returns the leader of the metadata group, 0 if none is known.
func (b *Broker) Controller() record.NodeID { return record.NodeID(b.metadata.leader.Load()) }

// Quorum is where the metadata group stands, as this node knows it.
type Quorum struct {
	Leader record.NodeID // 0 if none is known
	Term   record.Term
	// Applied is the last entry applied here.
	Applied          record.Index
	Voters, Learners []record.NodeID
}

// Quorum returns where the metadata group stands.
func (b *Broker) Quorum() Quorum {
	g := b.metadata.group
	q := Quorum{Applied: g.Applied()}
	q.Leader, q.Term = g.Leader()
	q.Voters, q.Learners = g.Members()
	return q
}

// AutoCreateTopics reports whether a protocol may create a topic on first use.
func (b *Broker) AutoCreateTopics() bool { return b.opts.AutoCreate }

// DefaultPartitions returns the partition count of topics that do not say one.
func (b *Broker) DefaultPartitions() int32 { return b.opts.DefaultPartitions }

// Authorize returns nil if who may do a to r, else an error that wraps
// access.ErrDenied. The protocols' tables call it for every operation. Who has a
// name is held against that user's permissions, who has none against the policy.
// It takes no lock and allocates nothing when it allows.
func (b *Broker) Authorize(who access.Principal, a access.Action, r access.Resource) error {
	if who.Name == "" {
		return b.opts.Policy.Authorize(who, a, r)
	}
	r.Tenant = tenantKey(r.Tenant)
	return b.users.Load().Authorize(who, a, r)
}

// Accepting reports whether a connection that has just handed in records should
// go on reading requests. When too many bytes are under way, or the store asks
// for a pause, it is false, and resume is called once, from any goroutine, when
// reading may go on; resume must not block. A connection that reads on
// regardless meets ErrBusy.
func (b *Broker) Accepting(resume func()) bool { return b.budget.accepting(resume) }

// Health tells what the store can do at present.
func (b *Broker) Health() store.Health { return b.store.Health() }

// admit charges an operation of n bytes, or refuses it.
func (b *Broker) admit(n int) error {
	if b.closed.Load() {
		return ErrClosed
	}
	if !b.budget.take(n) {
		return ErrBusy
	}
	return nil
}

// release ends what admit began.
func (b *Broker) release(n int) { b.budget.give(n) }

// refusalBy says why a store in this state takes no records.
func refusalBy(h *store.Health) error {
	if h.State == store.DiskFull {
		return ErrDiskFull
	}
	return fmt.Errorf("%w: %w", ErrStorage, h.Err)
}

// explain says what an error of the floors below means to a client.
func (b *Broker) explain(err error) error {
	switch {
	case errors.Is(err, store.ErrDead):
		return fmt.Errorf("%w: %w", ErrStorage, err)
	case errors.Is(err, replica.ErrTooLarge):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.Is(err, replica.ErrStopped):
		if h := b.store.Health(); h.State == store.Dead {
			return fmt.Errorf("%w: %w", ErrStorage, h.Err)
		}
	}
	return err
}

// startMark stands among the groups that readiness waits for: it is there when
// the node has begun its incarnation.
const startMark = record.ShardID(math.MaxUint32)

// readiness counts the groups that have no leader yet.
type readiness struct {
	mu    sync.Mutex
	led   map[record.ShardID]bool
	want  int
	ready bool
	done  chan struct{}
}

func (r *readiness) expect(groups int) { r.note(0, groups, false) }

// note takes down that a group has a leader.
func (r *readiness) note(id record.ShardID, want int, led bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.led == nil {
		r.led = map[record.ShardID]bool{}
	}
	if want > 0 {
		r.want = want
	}
	if led {
		r.led[id] = true
	}
	if !r.ready && r.want > 0 && len(r.led) == r.want {
		r.ready = true
		close(r.done)
	}
}

// led is called on the loop of a group whose leader has changed.
func (b *Broker) led(m *member, self bool, leader record.NodeID) {
	if self || leader != 0 && leader != b.opts.Node {
		b.ready.note(m.id, 0, true)
	}
}
