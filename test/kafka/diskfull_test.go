package kafka

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/polylog-mq/polylog/test/harness"
)

// TestDiskFull fills a small disk: produces are refused, clearly; reads,
// commits, a restart and deletes go on; and room heals it.
func TestDiskFull(t *testing.T) {
	dir := harness.SmallDisk(t, "400m")
	s := harness.StartIn(t, dir)
	p := newClient(t, s, kgo.RecordRetries(3), kgo.MaxBufferedRecords(200),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	refused := fill(t, p)
	if !errors.Is(refused, kerr.KafkaStorageError) {
		t.Fatalf("a full disk answers %v", refused)
	}

	reader := func() *kgo.Client {
		return newClient(t, s, kgo.ConsumeTopics("fill"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	}
	consume(t, reader(), 100)
	s.Stop()
	s.Restart()
	consume(t, reader(), 100)

	member := newClient(t, s, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("fill"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	consume(t, member, 100)
	if err := member.CommitUncommittedOffsets(within(t, 10*time.Second)); err != nil {
		t.Errorf("committing on a full disk: %v", err)
	}
	member.Close()

	if out, errs, code := s.CLI("", "topic", "delete", "fill"); code != 0 {
		t.Fatalf("deleting on a full disk: %s%s", out, errs)
	}
	again := newClient(t, s, kgo.RecordDeliveryTimeout(time.Minute))
	if err := again.ProduceSync(within(t, time.Minute), &kgo.Record{Topic: "after", Value: []byte("x")}).FirstErr(); err != nil {
		t.Errorf("room was made and a produce still fails: %v", err)
	}
}

// fill produces until that fails, and returns why.
func fill(t *testing.T, p *kgo.Client) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	failed := make(chan error, 1)
	value := bytes.Repeat([]byte("full "), 20_000)
	for range 2 << 30 / len(value) {
		p.Produce(ctx, &kgo.Record{Topic: "fill", Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
		select {
		case err := <-failed:
			return err
		default:
		}
	}
	return p.Flush(ctx)
}

// TestReadOnlyFolder: a folder that cannot be written is refused with the way
// out.
func TestReadOnlyFolder(t *testing.T) {
	dir := harness.SmallDisk(t, "10m")
	if err := os.Mkdir(dir+"/data", 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "remount,ro", dir).CombinedOutput(); err != nil {
		t.Skipf("it cannot be made read-only: %v %s", err, out)
	}
	expectRefusal(t, dir+"/data", "data.dir", "cannot be written", "--data-dir")
}

// TestNoRoomToBegin: a disk that is full from the start is refused with the way
// out.
func TestNoRoomToBegin(t *testing.T) {
	dir := harness.SmallDisk(t, "1m")
	if err := os.WriteFile(dir+"/filler", make([]byte, 1<<20), 0o600); err == nil {
		t.Log("the filler fits")
	}
	expectRefusal(t, dir+"/data", "data.dir", "disk is full", "free some space")
}
