package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	exporterModule = "github.com/davidmparrott/kafka_exporter/v2@v2.0.1"
	// exporterTime bounds how long the exporter may take to gather its numbers.
	exporterTime = 30 * time.Second
)

// exporterWants are numbers that the exporter must show of what prepareExport
// has done.
var exporterWants = map[string]string{
	"brokers":         `kafka_brokers 1`,
	"partitions":      `kafka_topic_partitions{topic="orders"} 3`,
	"end":             `kafka_topic_partition_current_offset{partition="1",topic="orders"} 100`,
	"start":           `kafka_topic_partition_oldest_offset{partition="1",topic="orders"} 10`,
	"leader":          `kafka_topic_partition_leader{partition="1",topic="orders"} 1`,
	"preferred":       `kafka_topic_partition_leader_is_preferred{partition="1",topic="orders"} 1`,
	"in-sync":         `kafka_topic_partition_in_sync_replica{partition="1",topic="orders"} 1`,
	"replicated":      `kafka_topic_partition_under_replicated_partition{partition="1",topic="orders"} 0`,
	"group-offset":    `kafka_consumergroup_current_offset{consumergroup="billing",partition="1",topic="orders"} 60`,
	"group-lag":       `kafka_consumergroup_uncommitted_offsets{consumergroup="billing",partition="1",topic="orders"} 40`,
	"group-lag-total": `kafka_consumergroup_uncommitted_offsets_sum{consumergroup="billing",topic="orders"} 40`,
	"group-members":   `kafka_consumergroup_members{consumergroup="billing"} 0`,
}

// exporter is the Prometheus exporter that Kafka's dashboards are fed by, and
// the numbers it shows of a topic and a group.
func exporter() suite {
	return suite{
		name: "exporter", about: "kafka_exporter v2.0.1 shows right numbers", needs: []tool{toolGo},
		run: func(e *env, skipped []string) (results, error) {
			dir, err := e.goModule(exporterModule)
			if err != nil {
				return nil, err
			}
			program := filepath.Join(e.dir, "kafka_exporter")
			if err := e.command(dir, "go", "build", "-mod=mod", "-o", program, ".").Run(); err != nil {
				return nil, fmt.Errorf("build %s: %w", exporterModule, err)
			}
			return e.serving(func(s *server) (results, error) {
				if err := e.prepareExport(s); err != nil {
					return nil, err
				}
				shown, err := e.export(program, s)
				if err != nil {
					return nil, err
				}
				r := results{}
				for name, want := range exporterWants {
					if r[name] = fail; shown[want] {
						r[name] = pass
					}
				}
				return r, nil
			})
		},
	}
}

// prepareExport writes 100 records to partition 1 of a topic, deletes the first
// 10, and has a group commit offset 60.
func (e *env) prepareExport(s *server) error {
	if err := e.topic(s, "orders", 3); err != nil {
		return err
	}
	for _, step := range []struct {
		stdin string
		args  []string
	}{
		{strings.Repeat("order\n", 100), []string{"produce", "orders", "--partition", "1"}},
		{"", []string{"topic", "trim", "orders", "--before", "10", "--partition", "1"}},
		{"", []string{"group", "seek", "billing", "--topic", "orders", "--to", "60", "--partition", "1"}},
	} {
		cmd := e.command(e.dir, e.binary, step.args...)
		cmd.Stdin = strings.NewReader(step.stdin)
		cmd.Env = append(os.Environ(), "POLYLOG_BROKERS="+s.kafka)
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("prepare: polylog %s: %w", strings.Join(step.args, " "), err)
		}
	}
	return nil
}

// export starts the exporter and returns the lines it shows, once it has shown
// all that is wanted or its time is up. It is asked several times: now and then
// a scrape lacks the line that the exporter comes to last.
func (e *env) export(program string, s *server) (map[string]bool, error) {
	port, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "--kafka.server="+s.kafka, "--web.listen-address="+local(port))
	cmd.Stdout, cmd.Stderr = e.log, e.log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the exporter: %w", err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}()
	shown := map[string]bool{}
	for began := time.Now(); time.Since(began) < exporterTime; time.Sleep(200 * time.Millisecond) {
		resp, err := http.Get("http://" + local(port) + "/metrics")
		if err != nil {
			continue // it does not listen yet
		}
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			shown[lines.Text()] = true
		}
		_ = resp.Body.Close()
		missing := 0
		for _, want := range exporterWants {
			if !shown[want] {
				missing++
			}
		}
		if missing == 0 {
			break
		}
	}
	return shown, nil
}
