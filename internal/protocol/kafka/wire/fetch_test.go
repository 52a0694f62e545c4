package wire

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestFetchRequestAgreesWithKmsg(t *testing.T) {
	for version := int16(4); version <= 18; version++ {
		for seed := range uint64(100) {
			req := kmsg.NewPtrFetchRequest()
			fill(req, seed)
			req.Version = version
			body := req.AppendTo(nil)
			want := kmsg.NewPtrFetchRequest()
			want.Version = version
			if err := want.ReadFrom(body); err != nil {
				t.Fatal(err)
			}
			got, err := ParseFetch(body, version)
			if err != nil {
				t.Fatalf("v%d seed %d: %v", version, seed, err)
			}
			compareFetch(t, got, want)
			for n := range len(body) {
				if _, err := ParseFetch(body[:n], version); !errors.Is(err, ErrMalformed) {
					t.Fatalf("v%d seed %d: %d of %d bytes accepted: %v", version, seed, n, len(body), err)
				}
			}
		}
	}
}

func compareFetch(t *testing.T, got FetchRequest, want *kmsg.FetchRequest) {
	t.Helper()
	if got.MaxWaitMillis != want.MaxWaitMillis || got.MinBytes != want.MinBytes || got.MaxBytes != want.MaxBytes ||
		got.Isolation != want.IsolationLevel || got.SessionID != want.SessionID || got.SessionEpoch != want.SessionEpoch {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	w := got.Topics()
	for _, topic := range want.Topics {
		if !w.NextTopic() || string(w.Name) != topic.Topic || w.ID != topic.TopicID {
			t.Fatalf("topic %+v, want %+v", w, topic)
		}
		for _, p := range topic.Partitions {
			if !w.NextPartition() || w.Partition != p.Partition || w.LeaderEpoch != p.CurrentLeaderEpoch ||
				w.Offset != p.FetchOffset || w.LastEpoch != p.LastFetchedEpoch || w.MaxBytes != p.PartitionMaxBytes {
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
	w = got.Forgotten()
	for _, topic := range want.ForgottenTopics {
		if !w.NextTopic() || string(w.Name) != topic.Topic || w.ID != topic.TopicID {
			t.Fatalf("forgotten topic %+v, want %+v", w, topic)
		}
		for _, p := range topic.Partitions {
			if !w.NextPartition() || w.Partition != p {
				t.Fatalf("forgotten partition %+v, want %d", w, p)
			}
		}
		if w.NextPartition() {
			t.Fatal("a forgotten partition too many")
		}
	}
	if w.NextTopic() {
		t.Fatal("a forgotten topic too many")
	}
}

func TestFetchResponseAgreesWithKmsg(t *testing.T) {
	for version := int16(4); version <= 18; version++ {
		for seed := range uint64(100) {
			want := kmsg.NewPtrFetchResponse()
			fill(want, seed)
			want.Version = version
			plainFetch(want)
			var out Output
			enc := FetchResponse{Version: version}
			enc.Begin(&out, want.ThrottleMillis, want.ErrorCode, want.SessionID, len(want.Topics))
			for _, topic := range want.Topics {
				enc.Topic(&out, topic.Topic, topic.TopicID, len(topic.Partitions))
				for i := range topic.Partitions {
					a := fetchedOf(&topic.Partitions[i])
					enc.Partition(&out, &a)
				}
				enc.EndTopic(&out)
			}
			enc.End(&out, fetchEndpointsOf(want.Brokers))
			got, wantBytes := bytes.Join(out.Buffers(), nil), want.AppendTo(nil)
			if !slices.Equal(got, wantBytes) || out.Size() != len(wantBytes) {
				t.Fatalf("v%d seed %d:\ngot  %x\nwant %x", version, seed, got, wantBytes)
			}
		}
	}
}

// plainFetch takes out of a random response what this server never says.
func plainFetch(r *kmsg.FetchResponse) {
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			p := &r.Topics[i].Partitions[j]
			p.SnapshotID = kmsg.NewFetchResponseTopicPartitionSnapshotID()
			p.PreferredReadReplica = -1
			if p.CurrentLeader.LeaderID < 0 || r.Version < 12 {
				p.CurrentLeader = kmsg.NewFetchResponseTopicPartitionCurrentLeader()
			}
			if p.RecordBatches == nil {
				p.RecordBatches = []byte{}
			}
		}
	}
	for i := range r.Brokers {
		r.Brokers[i].Rack = emptyIsNull(r.Brokers[i].Rack)
	}
	if r.Version < 16 {
		r.Brokers = nil
	}
}

func fetchedOf(p *kmsg.FetchResponseTopicPartition) FetchedPartition {
	half := len(p.RecordBatches) / 2
	a := FetchedPartition{
		Partition: p.Partition, Code: p.ErrorCode, HighWatermark: p.HighWatermark,
		LastStable: p.LastStableOffset, LogStart: p.LogStartOffset,
		Leader:  Leader{p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch},
		Records: [][]byte{p.RecordBatches[:half], p.RecordBatches[half:]},
		Size:    len(p.RecordBatches),
	}
	if d := p.DivergingEpoch; d.Epoch != -1 || d.EndOffset != -1 {
		a.Diverging = &EpochEnd{p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset}
	}
	if p.AbortedTransactions != nil {
		a.Aborted = []AbortedTransaction{}
	}
	for _, t := range p.AbortedTransactions {
		a.Aborted = append(a.Aborted, AbortedTransaction{t.ProducerID, t.FirstOffset})
	}
	return a
}

func fetchEndpointsOf(nodes []kmsg.FetchResponseBroker) (out []Endpoint) {
	for _, n := range nodes {
		e := Endpoint{Node: n.NodeID, Host: n.Host, Port: n.Port}
		if n.Rack != nil {
			e.Rack = *n.Rack
		}
		out = append(out, e)
	}
	return out
}

// FuzzFetch: what the walk accepts, kmsg decodes to the same, unless it minds
// the content of a tag that the walk skips.
func FuzzFetch(f *testing.F) {
	for _, version := range []int16{4, 7, 12, 18} {
		req := kmsg.NewPtrFetchRequest()
		fill(req, 5)
		req.Version = version
		f.Add(version, req.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		if version < 4 || version > 18 {
			return
		}
		got, err := ParseFetch(body, version)
		if err != nil {
			return
		}
		want := kmsg.NewPtrFetchRequest()
		want.Version = version
		if err := want.ReadFrom(body); err != nil && version < fetchFlexible {
			t.Fatalf("accepted, then %v", err)
		} else if err == nil {
			compareFetch(t, got, want)
		}
	})
}
