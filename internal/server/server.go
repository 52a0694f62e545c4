// Package server builds a node out of the floors below it and runs it: the
// store, the Raft host over it, the broker, and the protocols' listeners. It
// owns their lifetimes: what is started here is stopped here, in the opposite
// order.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/clock"
	"github.com/polylog-mq/polylog/internal/config"
	"github.com/polylog-mq/polylog/internal/osfs"
	"github.com/polylog-mq/polylog/internal/protocol/amqp"
	"github.com/polylog-mq/polylog/internal/protocol/kafka"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/group"
	"github.com/polylog-mq/polylog/internal/store"
	"github.com/polylog-mq/polylog/internal/store/wal"
)

// Options says what to run.
type Options struct {
	Config  config.Config
	Version string
	// FS holds the data folder. Default: the machine's.
	FS vfs.FS
	// Logger; the default discards.
	Logger *slog.Logger
	// HTTP makes the handler for http.listen. It is called once, before the
	// data folder is opened, and may ask the server about itself at any time.
	HTTP func(*Server) http.Handler
}

// State is what a server is doing.
type State int32

// The states, in the order in which they follow each other.
const (
	Starting State = iota // recovering; connections wait
	Serving
	Stopping
	Failed // the store has failed; see Failure
)

// String returns the state's name.
func (s State) String() string {
	return [...]string{"starting", "serving", "stopping", "failed"}[s]
}

// Server is a running node. All methods may be called from any goroutine.
type Server struct {
	opts    Options
	log     *slog.Logger
	started time.Time
	state   atomic.Int32
	failure chan error // the first fatal error

	listeners []listener

	store  *store.Store
	host   *replica.Host
	broker atomic.Pointer[broker.Broker] // nil while the folder is opened
	kafka  *kafka.Server
	amqp   *amqp.Server
	http   *http.Server

	halt    context.CancelFunc // ends what runs in the background
	running sync.WaitGroup
	stop    sync.Once
}

// Start opens the listeners, recovers the data folder, and returns once the
// node serves. An error that the operator can do something about is a
// *Refusal; nothing is left behind then.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if opts.FS == nil {
		opts.FS = osfs.New()
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	limitMemoryOfContainer()
	pace(os.Getenv("GOGC"))
	s := &Server{opts: opts, log: opts.Logger, started: time.Now(), failure: make(chan error, 1), halt: func() {}}
	if err := s.start(ctx); err != nil {
		s.close()
		return nil, err
	}
	s.state.CompareAndSwap(int32(Starting), int32(Serving))
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	if err := s.listen(ctx); err != nil {
		return err
	}
	s.serveHTTP()
	if err := s.open(); err != nil {
		return err
	}
	select {
	case <-s.Broker().Ready():
	case err := <-s.failure:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	s.serveKafka()
	s.serveAMQP()
	return nil
}

// dataDir returns where the data is, from the root if that can be told.
func (s *Server) dataDir() string {
	if dir, err := filepath.Abs(s.opts.Config.Data.Dir); err == nil {
		return dir
	}
	return s.opts.Config.Data.Dir
}

// open recovers the folder and sets everything above it going.
func (s *Server) open() error {
	c := &s.opts.Config
	st, err := store.Open(store.Options{
		FS: s.opts.FS, Dir: c.Data.Dir, Logger: s.log, MaxEntry: replica.MaxEntryBytes,
		WarnBelow: uint64(c.Disk.WarnFree), FullBelow: uint64(c.Disk.RefuseFree),
		CompactionBytes: int64(c.Kafka.CompactionMemory), Memory: new(wal.Mapped),
	})
	if err != nil {
		return refuseData(c.Data.Dir, err)
	}
	s.store = st
	node := record.NodeID(1)
	if meta, ok := st.Meta(); ok {
		node = meta.Node
	}
	system := clock.System()
	s.host = replica.New(replica.Options{Node: node, Store: st, Clock: system, Logger: s.log, Fatal: s.fail})
	b, err := broker.Open(broker.Options{
		Node: node, Nodes: []broker.Node{s.self(node)}, Store: st, Host: s.host, Clock: system, Logger: s.log,
		Policy: access.Policy{Insecure: c.Insecure}, Shards: c.Data.Shards,
		DefaultPartitions: int32(c.Kafka.DefaultPartitions), AutoCreate: c.Kafka.AutoCreateTopics, Groups: s.groups(),
	})
	if err != nil {
		return refuseData(c.Data.Dir, err)
	}
	s.broker.Store(b)
	ctx, halt := context.WithCancel(context.Background())
	s.halt = halt
	s.running.Go(func() { s.host.Run(ctx) })
	s.running.Go(func() {
		if err := st.Run(ctx); err != nil {
			s.fail(err)
		}
	})
	return nil
}

// self describes this node to clients. Without an address of its own a
// protocol advertises the one that the client came in by.
func (s *Server) self(id record.NodeID) broker.Node {
	k := &s.opts.Config.Kafka
	return broker.Node{ID: id, Addresses: map[string]string{"kafka": k.Advertise, "kafka+tls": k.TLSAdvertise}}
}

// groups are the settings of consumer groups.
func (s *Server) groups() group.Settings {
	g := group.DefaultSettings()
	g.InitialDelay = int32(s.opts.Config.Kafka.GroupInitialRebalanceDelay.Milliseconds())
	g.Retention = s.opts.Config.Kafka.OffsetsRetention.Milliseconds()
	return g
}

func (s *Server) serveKafka() {
	if len(s.of(protocolKafka)) == 0 {
		return
	}
	s.kafka = kafka.New(kafka.Options{
		Broker: s.Broker(), Access: s.Broker(), DataDir: s.dataDir(), Logger: s.log,
		CompactionMemory: int64(s.opts.Config.Kafka.CompactionMemory),
	})
	s.accept(protocolKafka, s.kafka.Serve)
}

func (s *Server) serveAMQP() {
	if len(s.of(protocolAMQP)) == 0 {
		return
	}
	c := &s.opts.Config.AMQP
	s.amqp = amqp.New(amqp.Options{
		Broker: s.Broker(), Access: s.Broker(), Logger: s.log,
		Product: c.Product, Version: c.ProductVersion, Software: "Polylog " + s.opts.Version,
		LoginFrom: amqp.LoginFrom(c.LoginFrom),
	})
	s.accept(protocolAMQP, s.amqp.Serve)
}

// fail takes down the server: nothing more is acknowledged.
func (s *Server) fail(err error) {
	s.state.Store(int32(Failed))
	select {
	case s.failure <- err:
	default: // the first one counts
	}
}

// Wait returns when ctx is done (nil), or why the server cannot go on.
func (s *Server) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failure:
		return err
	}
}

// Stop answers what is under way, refuses what comes, and closes everything,
// within a second. What was acknowledged is on the disk in any case.
func (s *Server) Stop() {
	s.state.CompareAndSwap(int32(Serving), int32(Stopping))
	s.stop.Do(s.close)
}

// close takes down whatever start has built.
func (s *Server) close() {
	end := time.Now().Add(drainTime)
	drain, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	s.closeListeners(false)
	s.shutdown(drain)
	if b := s.Broker(); b != nil {
		// Clients that do not answer may have used up the time.
		if least := time.Now().Add(closeTime); end.Before(least) {
			end = least
		}
		rest, cancel := context.WithDeadline(context.Background(), end)
		defer cancel()
		s.closing("the broker", b.Close(rest))
	}
	s.halt()
	if s.http != nil {
		rest, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		if s.http.Shutdown(rest) != nil {
			s.closing("HTTP", s.http.Close())
		}
	} else {
		s.closeListeners(true)
	}
	s.running.Wait()
	if s.host != nil {
		s.host.Close()
	}
	if s.store != nil {
		s.closing("the store", s.store.Close())
	}
}

// shutdown lets the protocols answer what is under way.
func (s *Server) shutdown(drain context.Context) {
	if b := s.Broker(); b != nil {
		b.EndWaits()
	}
	var all sync.WaitGroup
	if s.kafka != nil {
		all.Go(func() { s.kafka.Shutdown(drain) })
	}
	if s.amqp != nil {
		all.Go(func() { s.amqp.Shutdown(drain) })
	}
	all.Wait()
}

// closing notes what could not be closed in good order.
func (s *Server) closing(what string, err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) {
		s.log.Warn("closing "+what, "error", err)
	}
}

// State tells what the server is doing.
func (s *Server) State() State { return State(s.state.Load()) }

// Broker returns the broker, nil while the data folder is opened.
func (s *Server) Broker() *broker.Broker { return s.broker.Load() }

// Store returns the store, nil while the data folder is opened. It is there once
// Broker is.
func (s *Server) Store() *store.Store {
	if s.Broker() == nil {
		return nil
	}
	return s.store
}

// Version returns the version that the server was built as.
func (s *Server) Version() string { return s.opts.Version }

// AMQP returns the AMQP server, nil until the node serves, once it has failed,
// and if it does not listen for that protocol.
func (s *Server) AMQP() *amqp.Server {
	if state := s.State(); state == Serving || state == Stopping {
		return s.amqp
	}
	return nil // it may be on its way still
}

// Started returns when the server was started.
func (s *Server) Started() time.Time { return s.started }
