package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const kafkaVersion = "4.3.1"

// java is Apache Kafka's own Java clients and command line tools.
func java() suite {
	return suite{
		name: "java", about: "Apache Kafka " + kafkaVersion + ": verifiable clients and console tools", needs: []tool{toolJava, toolMaven},
		run: func(e *env, skipped []string) (results, error) {
			jars, err := e.jars("kafka-tools", "org.apache.kafka:kafka_2.13:"+kafkaVersion, "org.apache.kafka:kafka-tools:"+kafkaVersion)
			if err != nil {
				return nil, err
			}
			return e.serving(func(s *server) (results, error) {
				return e.runJava(jars, s.kafka, javaCases(s.kafka), skipped)
			})
		},
	}
}

// jars returns the folder of the jars of some artifacts (group:name:version) and
// of all they need, fetched once with Maven.
func (e *env) jars(name string, artifacts ...string) (string, error) {
	name += "-" + kafkaVersion
	dir := filepath.Join(e.cache, name)
	lib := filepath.Join(dir, "lib")
	return lib, once(filepath.Join(e.cache, name+".done"), func() error {
		return e.fetchJars(dir, pom(name, artifacts))
	})
}

// fetchJars copies what a project of Maven's needs into the folder lib within dir.
func (e *env) fetchJars(dir, pom string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("fetch jars: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pom.xml"), []byte(pom), 0o644); err != nil {
		return fmt.Errorf("fetch jars: %w", err)
	}
	lib := filepath.Join(dir, "lib")
	cmd := e.command(dir, "mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+lib)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("fetch jars with mvn: %w", err)
	}
	return nil
}

// pom names artifacts for Maven, and what they log through.
func pom(name string, artifacts []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>suites</groupId><artifactId>%s</artifactId><version>1</version>
  <dependencies>
`, name)
	for _, a := range append(artifacts, "org.slf4j:slf4j-simple:1.7.36") {
		f := strings.Split(a, ":")
		fmt.Fprintf(&b, "    <dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>\n", f[0], f[1], f[2])
	}
	b.WriteString("  </dependencies>\n</project>\n")
	return b.String()
}

// javaCase is one run of a tool: it must end well, having printed want and not
// ban. Cases run in order and stand on those before.
type javaCase struct {
	name, class, args, stdin string
	want                     []string
	ban                      string
}

const (
	verifiableProducer = "org.apache.kafka.tools.VerifiableProducer"
	verifiableConsumer = "org.apache.kafka.tools.VerifiableConsumer"
	topicCommand       = "org.apache.kafka.tools.TopicCommand"
	groupCommand       = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	consoleProducer    = "org.apache.kafka.tools.ConsoleProducer"
	consoleConsumer    = "org.apache.kafka.tools.consumer.ConsoleConsumer"
	configCommand      = "kafka.admin.ConfigCommand"
)

func javaCases(addr string) []javaCase {
	at := "--bootstrap-server " + addr + " "
	return []javaCase{
		{name: "topic-create", class: topicCommand, args: at + "--create --topic v --partitions 3", want: []string{"Created topic v."}},
		{name: "topic-describe", class: topicCommand, args: at + "--describe --topic v", want: []string{"PartitionCount: 3", "Partition: 2"}},
		{name: "topic-alter", class: topicCommand, args: at + "--alter --topic v --partitions 4"},
		{name: "topic-list", class: topicCommand, args: at + "--list", want: []string{"v\n"}},
		{name: "verifiable-producer", class: verifiableProducer, args: at + "--topic v --max-messages 5000 --acks -1",
			want: []string{`"sent":5000`, `"acked":5000`}},
		{name: "verifiable-producer-values", class: verifiableProducer, args: at + "--topic v --max-messages 1000 --value-prefix 7 --repeating-keys 5",
			want: []string{`"acked":1000`, `"value":"7.999"`}},
		{name: "get-offsets", class: "org.apache.kafka.tools.GetOffsetShell", args: at + "--topic v", want: []string{"v:0:", "v:3:"}},
		{name: "verifiable-consumer", class: verifiableConsumer, args: at + "--topic v --group-id g --reset-policy earliest --max-messages 6000",
			want: []string{`"name":"partitions_assigned"`, `"name":"offsets_committed"`, `"success":true`, `"name":"shutdown_complete"`}},
		{name: "verifiable-consumer-static-cooperative", class: verifiableConsumer,
			args: at + "--topic v --group-id s --group-instance-id one --reset-policy earliest --max-messages 6000" +
				" --assignment-strategy org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
			want: []string{`"name":"offsets_committed"`, `"name":"shutdown_complete"`}},
		{name: "group-list", class: groupCommand, args: at + "--list", want: []string{"g\n", "s\n"}},
		{name: "group-describe", class: groupCommand, args: at + "--describe --group g", want: []string{"CURRENT-OFFSET", "g"}},
		{name: "group-state", class: groupCommand, args: at + "--describe --group g --state", want: []string{"Empty"}},
		{name: "group-reset", class: groupCommand, args: at + "--reset-offsets --group g --topic v --to-earliest --execute", want: []string{"NEW-OFFSET"}},
		{name: "group-delete-offsets", class: groupCommand, args: at + "--delete-offsets --group g --topic v", want: []string{"Successful"}},
		{name: "group-delete", class: groupCommand, args: at + "--delete --group g", want: []string{"successful"}},
		{name: "console-producer", class: consoleProducer, args: at + "--topic c --property parse.key=true --compression-codec zstd",
			stdin: "a\tone\nb\ttwo\n"},
		{name: "console-consumer", class: consoleConsumer, args: at + "--topic c --from-beginning --max-messages 2 --property print.key=true --timeout-ms 20000",
			want: []string{"a\tone\n", "b\ttwo\n"}},
		{name: "config-alter", class: configCommand, args: at + "--alter --entity-type topics --entity-name c --add-config retention.ms=1234567,max.message.bytes=2000000"},
		{name: "config-describe", class: configCommand, args: at + "--describe --entity-type topics --entity-name c", want: []string{"retention.ms=1234567"}},
		{name: "config-describe-all", class: configCommand, args: at + "--describe --all --entity-type topics --entity-name c",
			want: []string{"retention.ms=1234567", "cleanup.policy=delete", "DEFAULT_CONFIG"}},
		{name: "config-delete", class: configCommand, args: at + "--alter --entity-type topics --entity-name c --delete-config retention.ms"},
		{name: "config-broker", class: configCommand, args: at + "--describe --all --entity-type brokers"},
		{name: "api-versions", class: "org.apache.kafka.tools.BrokerApiVersionsCommand", args: at, want: []string{"Produce(0)"}, ban: "ERROR"},
		{name: "log-dirs", class: "org.apache.kafka.tools.LogDirsCommand", args: at + "--describe", want: []string{`"partition":"v-0"`}},
		{name: "cluster-id", class: "org.apache.kafka.tools.ClusterTool", args: "cluster-id " + at, want: []string{"Cluster ID:"}},
		{name: "cluster-endpoints", class: "org.apache.kafka.tools.ClusterTool", args: "list-endpoints " + at, want: []string{"unfenced"}},
		{name: "features", class: "org.apache.kafka.tools.FeatureCommand", args: at + "describe", want: []string{"transaction.version"}},
		{name: "client-metrics", class: "org.apache.kafka.tools.ClientMetricsCommand", args: at + "--list"},
		{name: "reassignments", class: "org.apache.kafka.tools.reassign.ReassignPartitionsCommand", args: at + "--list",
			want: []string{"No partition reassignments found."}},
		{name: "offsets", class: "org.apache.kafka.tools.GetOffsetShell", args: at + "--topic c --time latest", want: []string{"c:0:2\n"}},
		{name: "end-to-end-latency", class: "org.apache.kafka.tools.EndToEndLatency",
			args: at + "--topic latency --num-records 200 --producer-acks all --record-size 100", want: []string{"Percentiles:"}},
		{name: "transactions-hanging", class: "org.apache.kafka.tools.TransactionsCommand", args: at + "find-hanging --broker-id 1",
			want: []string{"ProducerId"}, ban: "ERROR"},
		{name: "transactions-list", class: "org.apache.kafka.tools.TransactionsCommand", args: at + "list", want: []string{"TransactionalId"}},
		{name: "transactions-describe-producers", class: "org.apache.kafka.tools.TransactionsCommand",
			args: at + "describe-producers --topic v --partition 0", want: []string{"ProducerId"}},
		{name: "producer-perf", class: "org.apache.kafka.tools.ProducerPerformance",
			args: at + "--topic p --num-records 20000 --record-size 100 --throughput -1 --command-property acks=all", want: []string{"20000 records sent"}},
		{name: "producer-perf-transactions", class: "org.apache.kafka.tools.ProducerPerformance",
			args: at + "--topic t --num-records 5000 --record-size 100 --throughput -1 --transaction-duration-ms 200", want: []string{"5000 records sent"}},
		{name: "consumer-perf", class: "org.apache.kafka.tools.ConsumerPerformance",
			args: at + "--topic p --num-records 20000 --timeout 20000", want: []string{"20000"}},
		{name: "delete-records", class: "org.apache.kafka.tools.DeleteRecordsCommand", args: at + "--offset-json-file FILE",
			stdin: `{"partitions":[{"topic":"v","partition":0,"offset":3}],"version":1}`, want: []string{"low_watermark: 3"}},
		{name: "leader-election", class: "org.apache.kafka.tools.LeaderElectionCommand", args: at + "--election-type preferred --all-topic-partitions"},
		{name: "client-compatibility", class: "org.apache.kafka.tools.ClientCompatibilityTest",
			args: at + "--topic compat --num-cluster-nodes 1 --offsets-for-times-supported true --cluster-id-supported true" +
				" --expect-record-too-large-exception false --describe-acls-supported true --describe-configs-supported true" +
				" --create-topics-supported true --idempotent-producer-supported true", want: []string{"SUCCESS"}},
		{name: "topic-delete", class: topicCommand, args: at + "--delete --topic v"},
	}
}

// runJava runs the cases in turn, each in a Java of its own.
func (e *env) runJava(jars, addr string, cases []javaCase, skipped []string) (results, error) {
	skip := map[string]bool{}
	for _, name := range skipped {
		skip[name] = true
	}
	r := results{}
	for _, c := range cases {
		if skip[c.name] {
			continue
		}
		file := filepath.Join(e.dir, "input")
		if err := os.WriteFile(file, []byte(c.stdin), 0o644); err != nil {
			return nil, fmt.Errorf("write a tool's input: %w", err)
		}
		args := append([]string{"-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(jars, "*"), "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", c.class},
			strings.Fields(strings.ReplaceAll(c.args, "FILE", file))...)
		_, _ = fmt.Fprintf(e.log, "=== %s\n", c.name)
		cmd := e.command(e.dir, "timeout", append([]string{"120", "java"}, args...)...)
		cmd.Stdin = strings.NewReader(c.stdin)
		out, err := e.output(cmd)
		if err != nil {
			return nil, err
		}
		r[c.name] = pass
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			_, _ = fmt.Fprintf(e.log, "--- %s: exit code %d\n", c.name, code)
			r[c.name] = fail
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				_, _ = fmt.Fprintf(e.log, "--- %s: did not print %q\n", c.name, want)
				r[c.name] = fail
			}
		}
		if c.ban != "" && strings.Contains(out, c.ban) {
			_, _ = fmt.Fprintf(e.log, "--- %s: printed %q\n", c.name, c.ban)
			r[c.name] = fail
		}
	}
	return r, nil
}
