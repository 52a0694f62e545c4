package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The versions of the clients whose packages carry no tests; we drive them.
const (
	kafkajsPackage     = "kafkajs@2.2.4"
	confluentjsPackage = "@confluentinc/kafka-javascript@1.10.1"
)

var pythonPackages = []string{"confluent-kafka==2.16.1", "kafka-python==3.0.12", "aiokafka==0.14.0"}

//go:embed clients/roundtrip.py
var roundtripPython string

//go:embed clients/roundtrip.js
var roundtripJS string

//go:embed clients/roundtrip-confluent.js
var roundtripConfluentJS string

// python is round trips through the three Python clients.
func python() suite {
	return suite{
		name: "python", about: "round trips of confluent-kafka, kafka-python and aiokafka", needs: []tool{toolPython},
		run: func(e *env, skipped []string) (results, error) {
			venv := filepath.Join(e.cache, "python")
			err := once(filepath.Join(e.cache, "python.done"), func() error {
				if err := e.command(e.dir, "python3", "-m", "venv", venv).Run(); err != nil {
					return fmt.Errorf("make a Python environment: %w", err)
				}
				args := append([]string{"install", "-q"}, pythonPackages...)
				if err := e.command(e.dir, filepath.Join(venv, "bin", "pip"), args...).Run(); err != nil {
					return fmt.Errorf("install the Python clients: %w", err)
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			return e.roundTrips(e.dir, filepath.Join(venv, "bin", "python"), "roundtrip.py", roundtripPython, skipped)
		},
	}
}

// kafkajs is round trips through the JavaScript client.
func kafkajs() suite {
	return suite{
		name: "kafkajs", about: "round trips of KafkaJS", needs: []tool{toolNode, toolNPM},
		run: func(e *env, skipped []string) (results, error) {
			dir := filepath.Join(e.cache, "kafkajs")
			err := once(filepath.Join(e.cache, "kafkajs.done"), func() error {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return fmt.Errorf("install KafkaJS: %w", err)
				}
				if err := e.command(dir, "npm", "install", "--silent", "--prefix", dir, kafkajsPackage).Run(); err != nil {
					return fmt.Errorf("install KafkaJS: %w", err)
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			return e.roundTrips(dir, "node", "roundtrip.js", roundtripJS, skipped)
		},
	}
}

// confluentjs is round trips through KafkaJS's successor. npm compiles its
// librdkafka, which takes minutes, the first time.
func confluentjs() suite {
	return suite{
		name: "confluentjs", about: "round trips of Confluent's JavaScript client",
		needs: []tool{toolNode, toolNPM, toolGCC, toolMake, toolPython},
		run: func(e *env, skipped []string) (results, error) {
			dir := filepath.Join(e.cache, "confluentjs")
			err := once(filepath.Join(e.cache, "confluentjs.done"), func() error {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return fmt.Errorf("install Confluent's client: %w", err)
				}
				cmd := e.command(dir, "npm", "install", "--silent", "--prefix", dir, confluentjsPackage)
				// Linked with the system's libraries it downloads none, and with
				// Node's headers at hand not those either.
				cmd.Env = append(os.Environ(), "CKJS_LINKING=dynamic")
				if prefix, ok := nodeHeaders(); ok {
					cmd.Env = append(cmd.Env, "npm_config_nodedir="+prefix)
				}
				if err := cmd.Run(); err != nil {
					return fmt.Errorf("install Confluent's client: %w", err)
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			return e.roundTrips(dir, "node", "roundtrip.js", roundtripConfluentJS, skipped)
		},
	}
}

// nodeHeaders returns the prefix that Node's headers are installed under, if they
// are.
func nodeHeaders() (prefix string, ok bool) {
	node, err := exec.LookPath("node")
	if err != nil {
		return "", false
	}
	prefix = filepath.Dir(filepath.Dir(node))
	_, err = os.Stat(filepath.Join(prefix, "include", "node", "node.h"))
	return prefix, err == nil
}

// roundTrips is roundTripsAt for Kafka's clients.
func (e *env) roundTrips(dir, program, name, script string, skipped []string) (results, error) {
	return e.roundTripsAt(func(s *server) string { return s.kafka }, dir, program, name, script, skipped)
}

// roundTripsAt runs a script of ours in dir, against an address of a fresh
// server, and reads what it says of each of its tests but those to skip.
func (e *env) roundTripsAt(address func(*server) string, dir, program, name, script string, skipped []string) (results, error) {
	if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o644); err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	return e.serving(func(s *server) (results, error) {
		out, err := e.output(e.command(dir, program, append([]string{name, address(s)}, skipped...)...))
		if err != nil {
			return nil, err
		}
		r := parseLines(out)
		if len(r) == 0 {
			return nil, fmt.Errorf("%s said nothing of its tests; its output is in %s", name, e.log.Name())
		}
		return r, nil
	})
}
