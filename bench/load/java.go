package load

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// Java is Kafka's own ProducerPerformance, with batches of 64 KB and a linger
// of 5 ms. What counts is its own account of the whole run; the start of the
// JVM is not in that, but is in the server's processor time, which is small
// meanwhile.
type Java struct {
	Addr, Topic string
	Lib         string // folder of Kafka's jars
	Size        int
	// Rate is about how many records per second are expected, and so says how
	// many are sent to run for Duration.
	Rate     int
	Duration time.Duration
}

// summaryLine matches the last line that the tool prints:
// "N records sent, X records/sec (Y MB/sec), ... ms avg latency, ... ms max
// latency, A ms 50th, B ms 95th, C ms 99th, D ms 99.9th."
var summaryLine = regexp.MustCompile(`(\d+) records sent, ([\d.,]+) records/sec.* ([\d.,]+) ms max latency, (\d+) ms 50th, \d+ ms 95th, (\d+) ms 99th, (\d+) ms 99.9th`)

// Run drives the load; see Produce.Run.
func (j Java) Run(ctx context.Context, onCount, onEnd func()) (Result, error) {
	if j.Lib == "" {
		return Result{}, errors.New("Kafka's jars are needed for its ProducerPerformance")
	}
	n := max(1, int(float64(j.Rate)*j.Duration.Seconds()))
	cmd := exec.CommandContext(ctx, "java", "-Xms256M", "-Xmx256M", "-cp", filepath.Join(j.Lib, "*"), "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
		"org.apache.kafka.tools.ProducerPerformance", "--topic", j.Topic, "--num-records", strconv.Itoa(n),
		"--record-size", strconv.Itoa(j.Size), "--throughput", "-1",
		"--producer-props", "bootstrap.servers="+j.Addr, "acks=all", "batch.size=65536", "linger.ms=5")
	onCount()
	out, err := cmd.CombinedOutput()
	onEnd()
	if err != nil {
		return Result{}, fmt.Errorf("ProducerPerformance: %w\n%s", err, out)
	}
	all := summaryLine.FindAllSubmatch(out, -1)
	if len(all) == 0 {
		return Result{}, fmt.Errorf("ProducerPerformance printed no summary:\n%s", out)
	}
	var v [6]float64
	for i, text := range all[len(all)-1][1:] {
		if v[i], err = strconv.ParseFloat(string(text), 64); err != nil {
			return Result{}, fmt.Errorf("ProducerPerformance: %w", err)
		}
	}
	const ms = 1000
	return Result{
		Records: int64(v[0]), Bytes: int64(v[0]) * int64(j.Size), Seconds: v[0] / v[1],
		Latency: Latency{Max: int64(v[2] * ms), P50: int64(v[3] * ms), P99: int64(v[4] * ms), P999: int64(v[5] * ms)},
	}, nil
}
