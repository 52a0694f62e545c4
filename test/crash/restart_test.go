package crash

import (
	"context"
	"crypto/rand"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/polylog-mq/polylog/test/harness"
)

var retain = flag.Int64("retain", 128, "MiB that TestRestartTime retains before it restarts")

// TestRestartTime measures how long a server takes to serve again after a
// kill, with much retained. Compare -retain 1024 and -retain 20480: it must be
// about the same, since recovery reads the log above the checkpoint only.
func TestRestartTime(t *testing.T) {
	s := harness.Start(t)
	createTopic(t, s.Kafka(), topic)
	c, err := client(s.Kafka(), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedBytes(64<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	value := make([]byte, 64<<10)
	if _, err := rand.Read(value); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range *retain << 20 / int64(len(value)) {
		c.Produce(context.Background(), &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("producing: %v", err)
			}
		})
	}
	if err := c.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	s.Kill()
	s.Restart()
	t.Logf("%d MiB produced in %s (%.0f MiB/s), %d MiB on disk; after a kill it serves again in %s",
		*retain, took.Round(time.Millisecond), float64(*retain)/took.Seconds(), onDisk(t, s.Data())>>20, s.Took().Round(time.Millisecond))
}

func onDisk(t *testing.T, dir string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
