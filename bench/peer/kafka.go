package peer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// KafkaVersion is the Apache Kafka that runs are compared with.
const KafkaVersion = "4.3.1"

// pom names Kafka's artifacts, for Maven to copy with all they need.
const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>bench</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>` + KafkaVersion + `</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>` + KafkaVersion + `</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
`

// InstallKafka brings Kafka's jars into cache with Maven, unless they are
// there, and returns their folder. It needs mvn and java on the PATH.
func InstallKafka(cache string) (string, error) {
	for _, tool := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("install Kafka: %s is missing; on Debian: apt-get install default-jre-headless maven", tool)
		}
	}
	dir := filepath.Join(cache, "kafka-"+KafkaVersion)
	lib := filepath.Join(dir, "lib")
	done := filepath.Join(dir, "complete")
	if _, err := os.Stat(done); err == nil {
		return lib, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("install Kafka: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pom.xml"), []byte(pom), 0o644); err != nil {
		return "", fmt.Errorf("install Kafka: %w", err)
	}
	cmd := exec.Command("mvn", "-q", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+lib)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("install Kafka with mvn: %w", err)
	}
	return lib, os.WriteFile(done, nil, 0o644)
}

// StartKafka formats and starts one combined broker and controller with
// Kafka's defaults (it acknowledges before it syncs), but for looking every five
// seconds instead of minutes whether retention deletes something, and for freeing
// what is deleted after a second instead of a minute. Give a topic
// flush.messages=1 to make it sync first.
func StartKafka(lib, dir string) (*Server, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	controller, err := freePort()
	if err != nil {
		return nil, err
	}
	properties := strings.Join([]string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.bootstrap.servers=" + controller,
		"listeners=PLAINTEXT://" + addr + ",CONTROLLER://" + controller,
		"controller.listener.names=CONTROLLER",
		"log.dirs=" + filepath.Join(dir, "data"),
		"offsets.topic.replication.factor=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"share.coordinator.state.topic.replication.factor=1",
		"share.coordinator.state.topic.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
		"log.retention.check.interval.ms=5000",
		"log.segment.delete.delay.ms=1000",
		"",
	}, "\n")
	config := filepath.Join(dir, "server.properties")
	if err := os.WriteFile(config, []byte(properties), 0o644); err != nil {
		return nil, fmt.Errorf("configure Kafka: %w", err)
	}
	classpath := filepath.Join(lib, "*")
	quiet := "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
	format := exec.Command("java", "-cp", classpath, quiet, "kafka.tools.StorageTool",
		"format", "-t", "cTpV8mHkSoWGxR0vB2uQ9A", "-c", config, "--standalone")
	if out, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format Kafka's storage: %w\n%s", err, out)
	}
	s, err := start("kafka", dir, addr, nil, "java", "-Xms1G", "-Xmx1G", "-cp", classpath, quiet, "kafka.Kafka", config)
	if err != nil {
		return nil, err
	}
	s.Version = KafkaVersion
	return s, nil
}
