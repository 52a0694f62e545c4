package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

const (
	// The suite's brokers, and the port before their first in its code.
	proxies   = 5
	suitePort = 29090
	toxiproxy = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0"
)

// sarama is the functional tests of the Go client sarama. They are written for
// five brokers behind proxies on fixed ports, with topics of three replicas:
// here the five proxies lead to one server, and the copy's ports are free ones
// and its topics of one replica. As in its own environment, nothing creates a
// topic but who asks to.
func sarama() suite {
	return suite{
		name: "sarama", about: "sarama v1.61.1, functional tests that one broker can pass", needs: []tool{toolGo},
		run: func(e *env, skipped []string) (results, error) {
			dir, err := e.goModule("github.com/IBM/sarama@v1.61.1")
			if err != nil {
				return nil, err
			}
			port, err := freePorts(proxies + 1)
			if err != nil {
				return nil, err
			}
			if err := oneBroker(filepath.Join(dir, "functional_test.go"), port); err != nil {
				return nil, err
			}
			names, err := functions(filepath.Join(dir, "functional_*_test.go"))
			if err != nil {
				return nil, err
			}
			program, err := e.toxiproxy()
			if err != nil {
				return nil, err
			}
			return e.serving(func(s *server) (results, error) {
				end, err := e.proxy(program, port, s.kafka)
				if err != nil {
					return nil, err
				}
				defer end()
				environ := []string{"TOXIPROXY_ADDR=http://" + local(port), "KAFKA_VERSION=4.1.0"}
				return e.goTest(dir, environ, skipped, append(e.only(pattern(names)), "-tags=functional")...)
			}, "--kafka-advertise", local(port+1), "--kafka-auto-create-topics=false")
		},
	}
}

// oneBroker rewrites the suite's environment in the copy: the brokers' ports
// follow port, and its topics have one replica.
func oneBroker(file string, port int) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("fit the suite to one broker: %w", err)
	}
	text = replicas.ReplaceAll(text, []byte("${1}1"))
	text = bytes.ReplaceAll(text, fmt.Append(nil, suitePort), fmt.Append(nil, port))
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return fmt.Errorf("fit the suite to one broker: %w", err)
	}
	return nil
}

// freePorts returns the first of n ports in a row that nobody listens on.
func freePorts(n int) (int, error) {
	for first := suitePort; first < suitePort+1000; first += n {
		if free(first, n) {
			return first, nil
		}
	}
	return 0, fmt.Errorf("find %d free ports in a row above %d: none", n, suitePort)
}

func free(first, n int) bool {
	for port := first; port < first+n; port++ {
		l, err := net.Listen("tcp", local(port))
		if err != nil {
			return false
		}
		_ = l.Close() // it took no connection
	}
	return true
}

func local(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// replicas matches the number of replicas of the topics that the suite makes.
var replicas = regexp.MustCompile(`(ReplicationFactor:\s*)3`)

// toxiproxy returns the path of the proxy's program, built once.
func (e *env) toxiproxy() (string, error) {
	dir := filepath.Join(e.cache, "toxiproxy")
	return filepath.Join(dir, "server"), once(filepath.Join(e.cache, "toxiproxy.done"), func() error {
		cmd := e.command(e.dir, "go", "install", toxiproxy)
		cmd.Env = append(os.Environ(), "GOBIN="+dir)
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("install %s: %w", toxiproxy, err)
		}
		return nil
	})
}

// proxy starts the proxy: its API on port, and all of the suite's brokers, on
// the ports after it, leading to one server. Call end to end it.
func (e *env) proxy(program string, port int, upstream string) (end func(), err error) {
	cmd := exec.Command(program, "-host", "127.0.0.1", "-port", fmt.Sprint(port))
	cmd.Env = append(os.Environ(), "LOG_LEVEL=error")
	cmd.Stdout, cmd.Stderr = e.log, e.log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the proxy: %w", err)
	}
	end = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	}
	for i := range proxies {
		body := fmt.Sprintf(`{"name":"kafka%d","listen":%q,"upstream":%q,"enabled":true}`, i+1, local(port+i+1), upstream)
		if err := post("http://"+local(port)+"/proxies", body); err != nil {
			end()
			return nil, fmt.Errorf("make a proxy: %w", err)
		}
	}
	return end, nil
}

// post posts JSON, again and again until the receiver listens.
func post(url, body string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last := errors.New("not tried")
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline); <-tick.C {
		answer, err := http.Post(url, "application/json", bytes.NewReader([]byte(body)))
		if err != nil {
			last = err
			continue
		}
		_ = answer.Body.Close()
		if answer.StatusCode/100 != 2 {
			return fmt.Errorf("%s answered %s", url, answer.Status)
		}
		return nil
	}
	return last
}
