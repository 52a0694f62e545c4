package kafka

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/replica"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/store"
)

// openBroker runs a broker on a store in fs, until close.
func openBroker(tb testing.TB, fs vfs.FS) (b *broker.Broker, st *store.Store, end func()) {
	tb.Helper()
	st, err := store.Open(store.Options{FS: fs, Dir: "data", WALFileSize: 8 << 20})
	if err != nil {
		tb.Fatal(err)
	}
	host := replica.New(replica.Options{Node: 1, Store: st, Fatal: func(err error) { tb.Error(err) }})
	b, err = broker.Open(broker.Options{
		Store: st, Host: host, Shards: 3, AutoCreate: true, Policy: access.Policy{Insecure: true},
	})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{}, 2)
	go func() { host.Run(ctx); stopped <- struct{}{} }()
	go func() { _ = st.Run(ctx); stopped <- struct{}{} }()
	end = func() {
		drain, done := context.WithTimeout(context.Background(), 5*time.Second)
		defer done()
		if err := b.Close(drain); err != nil {
			tb.Error(err)
		}
		cancel()
		<-stopped
		<-stopped
		host.Close()
		if err := st.Close(); err != nil {
			tb.Error(err)
		}
	}
	select {
	case <-b.Ready():
	case <-time.After(20 * time.Second):
		tb.Fatal("the broker does not get ready")
	}
	return b, st, end
}

// rig is a server with a broker, and a connection to it.
type rig struct {
	*client
	address string
	server  *Server
	broker  *broker.Broker
	store   *store.Store
	fs      vfs.FS
	end     func() // of the broker
}

func newRig(tb testing.TB, set ...func(*Server)) *rig {
	tb.Helper()
	r := &rig{fs: vfs.NewMem()}
	tb.Cleanup(func() { r.end() })
	r.begin(tb, set...)
	return r
}

// begin opens a broker and a connection to it.
func (r *rig) begin(tb testing.TB, set ...func(*Server)) {
	tb.Helper()
	b, st, end := openBroker(tb, r.fs)
	s := New(Options{Broker: b, Access: b, Logger: slog.New(slog.DiscardHandler)})
	for _, f := range set {
		f(s)
	}
	r.address = serving(tb, s)
	r.client, r.server, r.broker, r.store, r.end = dial(tb, r.address), s, b, st, end
}

// restart closes the broker and opens another on what it has stored: leader
// epochs rise by it.
func (r *rig) restart() {
	r.t.Helper()
	r.end()
	r.begin(r.t)
}

// topic creates a topic and returns its id.
func (r *rig) topic(name string, partitions int32, config ...broker.Config) [16]byte {
	r.t.Helper()
	done := make(chan []broker.TopicResult, 1)
	r.broker.CreateTopics([]broker.NewTopic{{Name: name, Partitions: partitions, Replication: -1, Config: config}}, false,
		func(res []broker.TopicResult) { done <- res })
	res := <-done
	if res[0].Err != nil {
		r.t.Fatalf("creating %s: %v", name, res[0].Err)
	}
	return res[0].Topic.UUID
}

// batchOf builds a batch of values, dated 1000, 1001, … after the given time.
func batchOf(tb testing.TB, h record.Header, at int64, values ...string) []byte {
	tb.Helper()
	var b record.Builder
	b.Reset(h)
	for i, v := range values {
		b.Add(record.Record{Timestamp: at + int64(i), Key: []byte("k"), Value: []byte(v)})
	}
	out, err := b.AppendTo(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// now is a timestamp that topics accept.
func now() int64 { return time.Now().UnixMilli() }

// produceRequest asks to append batches to the partitions of a topic, counted
// from 0.
func produceRequest(version int16, topic string, id [16]byte, batches ...[]byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks = version, -1
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.TopicID = topic, id
	for i, b := range batches {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = int32(i), b
		rt.Partitions = append(rt.Partitions, p)
	}
	req.Topics = append(req.Topics, rt)
	return req
}

// produce appends batches and returns the answers for the partitions.
func (r *rig) produce(version int16, topic string, id [16]byte, batches ...[]byte) []kmsg.ProduceResponseTopicPartition {
	r.t.Helper()
	resp := r.ask(produceRequest(version, topic, id, batches...)).(*kmsg.ProduceResponse)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != len(batches) {
		r.t.Fatalf("answer %+v", resp)
	}
	return resp.Topics[0].Partitions
}

// write appends values to partition 0, one batch each.
func (r *rig) write(topic string, values ...string) {
	r.t.Helper()
	for _, v := range values {
		p := r.produce(9, topic, [16]byte{}, batchOf(r.t, record.Template(record.None), now(), v))
		if p[0].ErrorCode != errNone {
			r.t.Fatalf("producing: %+v", p[0])
		}
	}
}

// fetchRequest asks for partition 0 of a topic.
func fetchRequest(version int16, topic string, id [16]byte, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = version, 0, 1, 1<<20
	req.SessionEpoch = finalEpoch
	ft := kmsg.NewFetchRequestTopic()
	ft.Topic, ft.TopicID = topic, id
	ft.Partitions = append(ft.Partitions, fetchPartition(0, offset))
	req.Topics = append(req.Topics, ft)
	return req
}

func fetchPartition(number int32, offset int64) kmsg.FetchRequestTopicPartition {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = number, offset, 1<<20
	return p
}

// fetch asks and returns the answer for the only partition.
func (r *rig) fetch(req *kmsg.FetchRequest) kmsg.FetchResponseTopicPartition {
	r.t.Helper()
	resp := r.ask(req).(*kmsg.FetchResponse)
	if resp.ErrorCode != errNone || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		r.t.Fatalf("answer %+v", resp)
	}
	return resp.Topics[0].Partitions[0]
}

// values decodes fetched record bytes as offset=value.
func values(tb testing.TB, b []byte) map[int64]string {
	tb.Helper()
	out := map[int64]string{}
	err := record.Walk(b, func(batch []byte, _ record.Header) error {
		if _, err := record.Validate(batch, record.Checks{}); err != nil {
			return err
		}
		return record.Records(batch, func(rec record.Record) error {
			out[int64(rec.Offset)] = string(rec.Value)
			return nil
		})
	})
	if err != nil && !errors.Is(err, record.ErrTruncated) {
		tb.Fatal(err)
	}
	return out
}

func mustAddrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
