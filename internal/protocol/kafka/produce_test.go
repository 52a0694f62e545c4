package kafka

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/record"
)

func TestProduceAtEveryVersion(t *testing.T) {
	r := newRig(t)
	id := r.topic("t", 2)
	for v := int16(3); v <= 13; v++ {
		b := batchOf(t, record.Template(record.None), now(), "a", "b")
		parts := r.produce(v, "t", id, b, b)
		for i, p := range parts {
			if p.ErrorCode != errNone || p.Partition != int32(i) || p.BaseOffset != int64(v-3)*2 || p.LogAppendTime != -1 {
				t.Errorf("v%d: %+v", v, p)
			}
			if v >= 5 && p.LogStartOffset != 0 {
				t.Errorf("v%d: log start %d", v, p.LogStartOffset)
			}
		}
	}
	got := r.fetch(fetchRequest(11, "t", id, 0))
	if n := len(values(t, got.RecordBatches)); n != 22 {
		t.Errorf("%d records are there, want 22", n)
	}
}

func TestProduceRefusesEachFaultWithItsCode(t *testing.T) {
	r := newRig(t)
	id := r.topic("t", 1, broker.Config{Name: "max.message.bytes", Value: "200"})
	r.topic("compact", 1, broker.Config{Name: "cleanup.policy", Value: "compact"})
	good := batchOf(t, record.Template(record.None), now(), "a")
	edit := func(f func(b []byte)) []byte {
		b := batchOf(t, record.Template(record.None), now(), "a")
		f(b)
		return b
	}
	transactional := record.Template(record.None)
	transactional.Attributes |= 1 << 4
	transactional.ProducerID, transactional.ProducerEpoch, transactional.BaseSequence = 1, 0, 0
	var keyless record.Builder
	keyless.Add(record.Record{Timestamp: now(), Key: []byte("k")})
	keyless.Add(record.Record{Timestamp: now()})
	noKey, err := keyless.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		version int16
		topic   string
		id      [16]byte
		batch   []byte
		want    int16
	}{
		{"a good batch", 9, "t", id, good, errNone},
		{"no topic", 9, "nope", id, good, errUnknownTopicOrPartition},
		{"no topic with the id", 13, "", [16]byte{1}, good, errUnknownTopicID},
		{"no records", 9, "t", id, nil, errInvalidRecord},
		{"an empty batch", 9, "t", id, []byte{}, errInvalidRecord},
		{"half a batch", 9, "t", id, good[:len(good)-1], errInvalidRecord},
		{"two batches", 9, "t", id, append(slices.Clip(good), good...), errInvalidRecord},
		{"a wrong checksum", 9, "t", id, edit(func(b []byte) { b[20] ^= 1 }), errCorruptMessage},
		{"message format 1", 9, "t", id, edit(func(b []byte) { b[16] = 1 }), errInvalidRecord},
		{"message format 3", 9, "t", id, edit(func(b []byte) { b[16] = 3 }), errCorruptMessage},
		{"a base offset", 9, "t", id, edit(func(b []byte) { b[7] = 9 }), errInvalidRecord},
		{"too large", 9, "t", id, batchOf(t, record.Template(record.None), now(), strings.Repeat("x", 200)), errMessageTooLarge},
		{"from the far future", 9, "t", id, batchOf(t, record.Template(record.None), now()+1e9, "a"), errInvalidTimestamp},
		{"log append time", 9, "t", id, edit(func(b []byte) { record.SetLogAppendTime(b, 1) }), errInvalidTimestamp},
		{"zstd in an old request", 6, "t", id, batchOf(t, record.Template(record.Zstd), now(), "a"), errUnsupportedCompression},
		{"zstd", 7, "t", id, batchOf(t, record.Template(record.Zstd), now(), "a"), errNone},
		{"transactional", 9, "t", id, batchOf(t, transactional, now(), "a"), errTransactionalIDAuthFailed},
		{"no key in a compacted topic", 9, "compact", id, noKey, errInvalidRecord},
	} {
		p := r.produce(c.version, c.topic, c.id, c.batch)[0]
		if p.ErrorCode != c.want {
			t.Errorf("%s: code %d, want %d", c.name, p.ErrorCode, c.want)
		}
		if c.want != errNone && (p.BaseOffset != -1 || p.LogStartOffset != -1) {
			t.Errorf("%s: offsets in the refusal: %+v", c.name, p)
		}
		if c.topic == "compact" && (len(p.ErrorRecords) != 1 || p.ErrorRecords[0].RelativeOffset != 1) {
			t.Errorf("%s: records %+v", c.name, p.ErrorRecords)
		}
	}
}

func TestProduceChecksAcks(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	req := produceRequest(9, "t", [16]byte{}, batchOf(t, record.Template(record.None), now(), "a"))
	req.Acks = 2
	resp := r.ask(req).(*kmsg.ProduceResponse)
	if code := resp.Topics[0].Partitions[0].ErrorCode; code != errInvalidRequiredAcks {
		t.Errorf("acks=2: code %d", code)
	}
	req.Acks = 1
	resp = r.ask(req).(*kmsg.ProduceResponse)
	if p := resp.Topics[0].Partitions[0]; p.ErrorCode != errNone || p.BaseOffset != 0 {
		t.Errorf("acks=1: %+v", p)
	}
}

func TestProduceWithoutAcks(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	req := produceRequest(9, "t", [16]byte{}, batchOf(t, record.Template(record.None), now(), "a"))
	req.Acks = 0
	r.send(req)
	r.send(req)
	// The next answer is that of the next request, and comes after both.
	got := r.fetch(fetchRequest(11, "t", [16]byte{}, 0))
	if len(values(t, got.RecordBatches)) != 2 {
		t.Fatalf("%+v", got)
	}
	req.Topics[0].Topic = "nope"
	r.send(req)
	r.closed()
}

func TestPipelinedProducesKeepTheirOrder(t *testing.T) {
	r := newRig(t)
	r.topic("t", 3)
	const n = 300
	reqs := make([]*kmsg.ProduceRequest, n)
	for i := range reqs {
		b := batchOf(t, record.Template(record.None), now(), fmt.Sprint(i))
		reqs[i] = produceRequest(9, "t", [16]byte{}, b, b, b)
	}
	go func() {
		for i, req := range reqs {
			if _, err := r.Write(frameOf(req, int32(i))); err != nil {
				return
			}
		}
	}()
	for i, req := range reqs {
		resp := r.receive(req, int32(i)).(*kmsg.ProduceResponse)
		for _, p := range resp.Topics[0].Partitions {
			if p.ErrorCode != errNone || p.BaseOffset != int64(i) {
				t.Fatalf("request %d: %+v", i, p)
			}
		}
	}
	got := values(t, r.fetch(fetchRequest(11, "t", [16]byte{}, 0)).RecordBatches)
	for i := range int64(n) {
		if got[i] != fmt.Sprint(i) {
			t.Fatalf("offset %d holds %q", i, got[i])
		}
	}
}

func TestIdempotentProducer(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	init := kmsg.NewPtrInitProducerIDRequest()
	init.Version = 4
	first := r.ask(init).(*kmsg.InitProducerIDResponse)
	second := r.ask(init).(*kmsg.InitProducerIDResponse)
	if first.ErrorCode != errNone || second.ErrorCode != errNone || first.ProducerID == second.ProducerID || first.ProducerEpoch != 0 {
		t.Fatalf("%+v, %+v", first, second)
	}
	h := record.Template(record.None)
	h.ProducerID, h.ProducerEpoch = first.ProducerID, first.ProducerEpoch
	send := func(seq int32, values ...string) kmsg.ProduceResponseTopicPartition {
		h.BaseSequence = seq
		return r.produce(9, "t", [16]byte{}, batchOf(t, h, now(), values...))[0]
	}
	for _, c := range []struct {
		seq  int32
		n    int
		code int16
		base int64
	}{
		{0, 2, errNone, 0}, {2, 1, errNone, 2}, {0, 2, errNone, 0}, // a retry gets its first offset
		{4, 1, errOutOfOrderSequence, -1}, {3, 1, errNone, 3},
	} {
		if p := send(c.seq, make([]string, c.n)...); p.ErrorCode != c.code || p.BaseOffset != c.base {
			t.Errorf("sequence %d: %+v, want code %d offset %d", c.seq, p, c.code, c.base)
		}
	}
	h.ProducerEpoch = 1
	if p := send(0, "x"); p.ErrorCode != errNone {
		t.Errorf("a new epoch: %+v", p)
	}
	h.ProducerEpoch = 0
	if p := send(4, "x"); p.ErrorCode != errInvalidProducerEpoch {
		t.Errorf("an old epoch: %+v", p)
	}
}

func TestInitProducerIDRefuses(t *testing.T) {
	r := newRig(t)
	for id, want := range map[string]int16{"": errInvalidRequest, "tx": errInvalidTransactionTimeout} {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.Version, req.TransactionalID, req.TransactionTimeoutMillis = 4, &id, 3_600_000
		resp := r.ask(req).(*kmsg.InitProducerIDResponse)
		if resp.ErrorCode != want || resp.ProducerID != -1 || resp.ProducerEpoch != -1 {
			t.Errorf("%q: %+v", id, resp)
		}
	}
}

func TestLogAppendTime(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1, broker.Config{Name: "message.timestamp.type", Value: "LogAppendTime"})
	before := now()
	p := r.produce(9, "t", [16]byte{}, batchOf(t, record.Template(record.None), 5, "a", "b"))[0]
	if p.ErrorCode != errNone || p.LogAppendTime < before-60_000 || p.LogAppendTime > now()+60_000 {
		t.Fatalf("%+v", p)
	}
	got := r.fetch(fetchRequest(11, "t", [16]byte{}, 0))
	h, err := record.Validate(got.RecordBatches, record.Checks{})
	if err != nil || !h.LogAppendTime() || h.MaxTimestamp != p.LogAppendTime {
		t.Fatalf("%v, %v", h, err)
	}
}

func TestHostileProduceCounts(t *testing.T) {
	r := newRig(t)
	r.topic("t", 1)
	frame := frameOf(produceRequest(8, "t", [16]byte{}, batchOf(t, record.Template(record.None), now(), "a")), 1)
	// The array of topics claims a million entries.
	at := len(frame) - (4 + 4 + 4 + len(batchOf(t, record.Template(record.None), now(), "a")) + 3 + 4)
	binary.BigEndian.PutUint32(frame[at:], 1<<20)
	r.client.write(frame)
	r.closed()
}
