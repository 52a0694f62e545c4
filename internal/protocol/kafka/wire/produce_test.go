package wire

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestProduceRequestAgreesWithKmsg(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		for seed := range uint64(100) {
			req := kmsg.NewPtrProduceRequest()
			fill(req, seed)
			req.Version = version
			body := req.AppendTo(nil)
			want := kmsg.NewPtrProduceRequest()
			want.Version = version
			if err := want.ReadFrom(body); err != nil {
				t.Fatal(err)
			}
			got, err := ParseProduce(body, version)
			if err != nil {
				t.Fatalf("v%d seed %d: %v", version, seed, err)
			}
			compareProduce(t, got, want)
			for n := range len(body) {
				if _, err := ParseProduce(body[:n], version); !errors.Is(err, ErrMalformed) {
					t.Fatalf("v%d seed %d: %d of %d bytes accepted: %v", version, seed, n, len(body), err)
				}
			}
		}
	}
}

func compareProduce(t *testing.T, got ProduceRequest, want *kmsg.ProduceRequest) {
	t.Helper()
	if got.Acks != want.Acks || got.TimeoutMillis != want.TimeoutMillis || got.Count() != len(want.Topics) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	if id := want.TransactionID; (id == nil) != (got.TransactionalID == nil) || id != nil && *id != string(got.TransactionalID) {
		t.Fatalf("transactional id %q, want %+v", got.TransactionalID, id)
	}
	w := got.Topics()
	for _, topic := range want.Topics {
		if !w.NextTopic() || string(w.Name) != topic.Topic || w.ID != topic.TopicID || w.Partitions != len(topic.Partitions) {
			t.Fatalf("topic %+v, want %+v", w, topic)
		}
		for _, p := range topic.Partitions {
			if !w.NextPartition() || w.Partition != p.Partition || !slices.Equal(w.Records, p.Records) || (w.Records == nil) != (p.Records == nil) {
				t.Fatalf("partition %+v, want %+v", w, p)
			}
		}
		if w.NextPartition() {
			t.Fatal("a partition too many")
		}
	}
	if w.NextTopic() {
		t.Fatal("a topic too many")
	}
}

func TestProduceResponseAgreesWithKmsg(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		for seed := range uint64(100) {
			want := kmsg.NewPtrProduceResponse()
			fill(want, seed)
			want.Version = version
			plainProduce(want)
			enc := ProduceResponse{Version: version}
			b := enc.Begin(nil, len(want.Topics))
			for _, topic := range want.Topics {
				b = enc.Topic(b, &ProduceWalk{Name: []byte(topic.Topic), ID: topic.TopicID, Partitions: len(topic.Partitions)})
				for i := range topic.Partitions {
					a := producedOf(&topic.Partitions[i])
					b = enc.Partition(b, &a)
				}
				b = enc.EndTopic(b)
			}
			b = enc.End(b, want.ThrottleMillis, endpointsOf(want.Brokers))

			got := kmsg.NewPtrProduceResponse()
			got.Version = version
			if err := got.ReadFrom(b); err != nil {
				t.Fatalf("v%d seed %d: %v", version, seed, err)
			}
			again := kmsg.NewPtrProduceResponse()
			again.Version = version
			if err := again.ReadFrom(want.AppendTo(nil)); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, again) {
				t.Fatalf("v%d seed %d:\ngot  %+v\nwant %+v", version, seed, got, again)
			}
			if wantBytes := want.AppendTo(nil); !slices.Equal(b, wantBytes) {
				t.Fatalf("v%d seed %d:\ngot  %x\nwant %x", version, seed, b, wantBytes)
			}
		}
	}
}

// plainProduce takes out of a random response what this server never says: a
// hint without a node, an empty text that is not null.
func plainProduce(r *kmsg.ProduceResponse) {
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			p := &r.Topics[i].Partitions[j]
			if p.CurrentLeader.LeaderID < 0 || r.Version < 10 {
				p.CurrentLeader = kmsg.NewProduceResponseTopicPartitionCurrentLeader()
			}
			p.ErrorMessage = emptyIsNull(p.ErrorMessage)
			for k := range p.ErrorRecords {
				p.ErrorRecords[k].ErrorMessage = emptyIsNull(p.ErrorRecords[k].ErrorMessage)
			}
		}
	}
	for i := range r.Brokers {
		r.Brokers[i].Rack = emptyIsNull(r.Brokers[i].Rack)
	}
	if r.Version < 10 {
		r.Brokers = nil
	}
}

func emptyIsNull(s *string) *string {
	if s != nil && *s == "" {
		return nil
	}
	return s
}

func producedOf(p *kmsg.ProduceResponseTopicPartition) ProducedPartition {
	a := ProducedPartition{
		Partition: p.Partition, Code: p.ErrorCode, BaseOffset: p.BaseOffset,
		LogAppendTime: p.LogAppendTime, LogStart: p.LogStartOffset,
		Leader: Leader{p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch},
	}
	if p.ErrorMessage != nil {
		a.Message = *p.ErrorMessage
	}
	for _, r := range p.ErrorRecords {
		bad := BadRecord{Index: r.RelativeOffset}
		if r.ErrorMessage != nil {
			bad.Message = *r.ErrorMessage
		}
		a.BadRecords = append(a.BadRecords, bad)
	}
	return a
}

func endpointsOf(nodes []kmsg.ProduceResponseBroker) (out []Endpoint) {
	for _, n := range nodes {
		e := Endpoint{Node: n.NodeID, Host: n.Host, Port: n.Port}
		if n.Rack != nil {
			e.Rack = *n.Rack
		}
		out = append(out, e)
	}
	return out
}

func TestProduceWalkAllocatesNothing(t *testing.T) {
	req := kmsg.NewPtrProduceRequest()
	fill(req, 3)
	req.Version = 9
	body := req.AppendTo(nil)
	dst := make([]byte, 0, 1<<12)
	if n := testing.AllocsPerRun(100, func() {
		p, err := ParseProduce(body, 9)
		if err != nil {
			t.Error(err)
		}
		enc := ProduceResponse{Version: 9}
		b := enc.Begin(dst, p.Count())
		for w := p.Topics(); w.NextTopic(); {
			b = enc.Topic(b, &w)
			for w.NextPartition() {
				b = enc.Partition(b, &ProducedPartition{Partition: w.Partition, Leader: NoLeader})
			}
			b = enc.EndTopic(b)
		}
		_ = enc.End(b, 0, nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzProduce: what the walk accepts, kmsg decodes to the same.
func FuzzProduce(f *testing.F) {
	for _, version := range []int16{3, 9, 13} {
		req := kmsg.NewPtrProduceRequest()
		fill(req, 5)
		req.Version = version
		f.Add(version, req.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		if version < 3 || version > 13 {
			return
		}
		got, err := ParseProduce(body, version)
		if err != nil {
			return
		}
		want := kmsg.NewPtrProduceRequest()
		want.Version = version
		if err := want.ReadFrom(body); err != nil {
			t.Fatalf("accepted, then %v", err)
		}
		compareProduce(t, got, want)
	})
}
