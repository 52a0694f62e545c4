package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	franz "github.com/twmb/franz-go/pkg/kgo"
)

//go:embed streams/WordCount.java
var wordCount string

const (
	// lineCount is how many lines of wordsPerLine words a case feeds the word
	// count, in portions, and wordKinds how many different words there are.
	lineCount    = 2000
	wordsPerLine = 5
	wordKinds    = 200
	portions     = 20
	portionPause = 400 * time.Millisecond
	// countTime is how long a case may take until its counts are out.
	countTime = 3 * time.Minute
)

// streams is a word count of Kafka Streams with exactly-once processing, whose
// program and server are killed while it works.
func streams() suite {
	return suite{
		name: "streams", about: "Kafka Streams " + kafkaVersion + ": a word count, exactly once, killed again and again",
		needs: []tool{toolJava, toolJavac, toolMaven},
		run: func(e *env, skipped []string) (results, error) {
			jars, err := e.jars("kafka-streams", "org.apache.kafka:kafka-streams:"+kafkaVersion)
			if err != nil {
				return nil, err
			}
			if err := e.compile(jars, "WordCount", wordCount); err != nil {
				return nil, err
			}
			c := &counting{env: e, jars: jars, want: map[string]int{}, seen: map[string]int{}}
			if c.server, err = e.start(); err != nil {
				return nil, err
			}
			r, err := c.run(skipped)
			c.killApp()
			if stopped := c.server.stop(); err == nil {
				err = stopped
			}
			return r, err
		},
	}
}

// compile compiles a Java class into the suite's folder.
func (e *env) compile(jars, class, source string) error {
	file := filepath.Join(e.dir, class+".java")
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", class, err)
	}
	if err := e.command(e.dir, "javac", "-cp", filepath.Join(jars, "*"), "-d", e.dir, file).Run(); err != nil {
		return fmt.Errorf("compile %s: %w", class, err)
	}
	return nil
}

// counting is a run of the word count.
type counting struct {
	*env
	jars   string
	server *server
	app    *exec.Cmd
	stdin  io.Closer
	ended  chan error // of the app

	want map[string]int // how often each word was fed
	seen map[string]int // each word's last count
	wrong,
	words int // counts that did not come one by one, and words seen
}

// run feeds lines while things are killed, a case each, and checks the counts
// after each.
func (c *counting) run(skipped []string) (results, error) {
	for topic, partitions := range map[string]int{"lines": 3, "counts": 3} {
		if err := c.topic(c.server, topic, partitions); err != nil {
			return nil, err
		}
	}
	client, err := franz.NewClient(franz.SeedBrokers(c.server.kafka), franz.ConsumeTopics("counts"),
		franz.FetchIsolationLevel(franz.ReadCommitted()), franz.ConsumeResetOffset(franz.NewOffset().AtStart()))
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	defer client.Close()
	if err := c.startApp(); err != nil {
		return nil, err
	}
	r := results{}
	for _, t := range []struct {
		name             string
		killApp, killSrv int // every so many portions; 0: never
	}{{"undisturbed", 0, 0}, {"program-killed", 5, 0}, {"server-killed", 0, 6}, {"both-killed", 4, 7}} {
		_, _ = fmt.Fprintf(c.log, "=== %s\n", t.name)
		if err := c.feed(client, t.killApp, t.killSrv); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		r[t.name] = pass
		if problem := c.check(client); problem != "" {
			_, _ = fmt.Fprintf(c.log, "--- %s: %s\n", t.name, problem)
			r[t.name] = fail
		}
	}
	for _, name := range skipped {
		delete(r, name)
	}
	return r, nil
}

// feed produces lines, and kills meanwhile.
func (c *counting) feed(client *franz.Client, killApp, killServer int) error {
	every := func(n, i int) bool { return n > 0 && i%n == n-1 }
	for i := range portions {
		for range lineCount / portions {
			line := make([]string, wordsPerLine)
			for j := range line {
				line[j] = "w" + strconv.Itoa(rand.IntN(wordKinds))
				c.want[line[j]]++
			}
			client.Produce(context.Background(), &franz.Record{Topic: "lines", Value: []byte(strings.Join(line, " "))},
				func(_ *franz.Record, err error) {
					if err != nil {
						_, _ = fmt.Fprintf(c.log, "--- a line was lost: %v\n", err)
					}
				})
		}
		if every(killServer, i) {
			if err := c.restartServer(); err != nil {
				return err
			}
		}
		if every(killApp, i) {
			c.killApp()
			if err := c.startApp(); err != nil {
				return err
			}
		}
		select {
		case err := <-c.ended:
			c.app = nil
			return fmt.Errorf("the word count ended by itself: %w", err)
		case <-time.After(portionPause):
		}
	}
	return client.Flush(context.Background())
}

// startApp starts the word count; its state is kept from run to run.
func (c *counting) startApp() error {
	c.app = c.command(c.dir, "java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-cp", filepath.Join(c.jars, "*")+string(os.PathListSeparator)+c.dir, "WordCount", c.server.kafka, filepath.Join(c.dir, "state"))
	var err error
	if c.stdin, err = c.app.StdinPipe(); err != nil {
		return fmt.Errorf("start the word count: %w", err)
	}
	if err := c.app.Start(); err != nil {
		return fmt.Errorf("start the word count: %w", err)
	}
	ended := make(chan error, 1)
	go func(app *exec.Cmd) { ended <- app.Wait() }(c.app)
	c.ended = ended
	return nil
}

// killApp ends the word count without a warning.
func (c *counting) killApp() {
	if c.app == nil {
		return
	}
	_ = c.app.Process.Kill() // it may have ended
	<-c.ended
	c.app = nil
}

// restartServer kills the server and starts it again in the same place.
func (c *counting) restartServer() error {
	_ = c.server.cmd.Process.Kill() // it may have ended
	<-c.server.ended
	s, err := c.start("--kafka-listen", c.server.kafka)
	if err != nil {
		return fmt.Errorf("after the server was killed: %w", err)
	}
	c.server = s
	return nil
}

// check reads the counts until they are those that were fed, and says what is
// wrong with them: each word must be counted 1, 2, 3 and so on, once each.
func (c *counting) check(client *franz.Client) string {
	ctx, cancel := context.WithTimeout(context.Background(), countTime)
	defer cancel()
	total := 0
	for _, n := range c.want {
		total += n
	}
	for c.words < total && ctx.Err() == nil {
		fetched := client.PollFetches(ctx)
		fetched.EachRecord(func(r *franz.Record) {
			word := string(r.Key)
			n, err := strconv.Atoi(string(r.Value))
			if err != nil || n != c.seen[word]+1 {
				_, _ = fmt.Fprintf(c.log, "%s is counted %q after %d at %d/%d\n", word, r.Value, c.seen[word], r.Partition, r.Offset)
				c.wrong++
			}
			c.seen[word] = n
			c.words++
		})
	}
	different := 0
	for word, n := range c.want {
		if c.seen[word] != n {
			different++
		}
	}
	_, _ = fmt.Fprintf(c.log, "%d words fed, %d counted, %d wrong counts, %d words with a wrong end\n", total, c.words, c.wrong, different)
	if c.words != total || c.wrong > 0 || different > 0 {
		return fmt.Sprintf("%d words fed, %d counted, %d wrong counts, %d words with a wrong end", total, c.words, c.wrong, different)
	}
	return ""
}
