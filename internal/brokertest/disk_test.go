package brokertest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/crashfs"
	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/group"
)

// gauge is a file system that says of itself how full it is.
type gauge struct {
	vfs.FS
	free uint64
}

func (g *gauge) GetDiskUsage(string) (vfs.DiskUsage, error) {
	const total = 100 << 30
	return vfs.DiskUsage{AvailBytes: g.free, TotalBytes: total, UsedBytes: total - g.free}, nil
}

func TestFullDiskRefusesProducesOnly(t *testing.T) {
	mem := crashfs.New()
	disk := &gauge{FS: mem, free: 50 << 30}
	n := Start(t, Options{Mem: mem, FS: disk})
	p := n.Create("t", 1).Partitions[0]
	n.MustAppend(p, Batch("before", "kept"))

	disk.free = 1 << 20
	n.Store.LookAtDisk()
	n.Advance(time.Second) // the broker does not ask all the time
	if _, err := n.Append(p, Batch("refused")); !errors.Is(err, broker.ErrDiskFull) {
		t.Errorf("an append to a full disk: %v", err)
	}
	wantValues(t, n, p, 0, "before", "kept")
	deleted := errNoAnswer
	p.DeleteRecords(1, func(_ record.Offset, err error) { deleted = err })
	committed := errNoAnswer
	n.CommitOffsets(&group.Commit{Group: "g", Generation: -1, Retention: -1, Topics: []group.CommitTopic{{
		Name: "t", Topic: n.Topic("t").ID, Partitions: []group.CommitPartition{{Offset: 1, Epoch: -1}},
	}}}, func(err error) { committed = err })
	n.Settle()
	if deleted != nil || committed != nil || p.Floor() != 1 {
		t.Errorf("on a full disk: deleting %v, committing %v, floor %d", deleted, committed, p.Floor())
	}
	n.Create("u", 1)
	if err := n.Delete("u"); err != nil {
		t.Errorf("deleting a topic on a full disk: %v", err)
	}

	disk.free = 50 << 30
	n.Store.LookAtDisk()
	n.Advance(time.Second) // the broker does not ask all the time
	if base := n.MustAppend(p, Batch("after")); base != 2 {
		t.Errorf("base %d after the disk has room again", base)
	}
}

// TestFailedSyncEndsAcknowledging lets a sync of the WAL fail: what was under
// way is not acknowledged, nothing is from then on, and what had been
// acknowledged is there after a restart.
func TestFailedSyncEndsAcknowledging(t *testing.T) {
	mem := crashfs.New()
	broken := false
	ioError := errors.New("input/output error")
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData
		if broken && sync && strings.Contains(op.Path, "wal") {
			return ioError
		}
		return nil
	}))
	n := Start(t, Options{Mem: mem, FS: fs})
	p := n.Create("t", 1).Partitions[0]
	n.MustAppend(p, Batch("acknowledged"))
	broken = true
	under := Begin(p, Batch("lost"))
	n.Settle()
	if !under.Answered || under.Err == nil {
		t.Fatalf("an append whose sync failed: answered %v, %v", under.Answered, under.Err)
	}
	if n.Failed == nil {
		t.Error("nobody was told that the node must end")
	}
	late := Begin(p, Batch("late"))
	n.Settle()
	if !late.Answered || late.Err == nil || errors.Is(late.Err, broker.ErrUnknownFate) {
		t.Errorf("an append to a dead store: answered %v, %v", late.Answered, late.Err)
	}
	broken = false
	n = n.Crash(false)
	n.Settle()
	wantValues(t, n, n.Topic("t").Partitions[0], 0, "acknowledged")
}
