package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
)

// The versions of RabbitMQ's clients that we drive.
const amqplibPackage = "amqplib@2.3.1"

var rabbitPythonPackages = []string{"pika==1.4.4", "celery==5.7.0"}

//go:embed clients/rabbit.py
var rabbitPython string

//go:embed clients/rabbit.js
var rabbitJS string

// rabbitpy is round trips through RabbitMQ's Python clients, and a Celery
// application with a worker.
func rabbitpy() suite {
	return suite{
		name: "rabbitpy", about: "round trips of pika and kombu, and a Celery application", needs: []tool{toolPython},
		run: func(e *env, skipped []string) (results, error) {
			venv := filepath.Join(e.cache, "rabbitpy")
			err := once(filepath.Join(e.cache, "rabbitpy.done"), func() error {
				if err := e.command(e.dir, "python3", "-m", "venv", venv).Run(); err != nil {
					return fmt.Errorf("make a Python environment: %w", err)
				}
				args := append([]string{"install", "-q"}, rabbitPythonPackages...)
				if err := e.command(e.dir, filepath.Join(venv, "bin", "pip"), args...).Run(); err != nil {
					return fmt.Errorf("install pika and Celery: %w", err)
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			return e.roundTripsAt(amqpOf, e.dir, filepath.Join(venv, "bin", "python"), "roundtrip.py", rabbitPython, skipped)
		},
	}
}

// rabbitjs is round trips through amqplib.
func rabbitjs() suite {
	return suite{
		name: "rabbitjs", about: "round trips of amqplib", needs: []tool{toolNode, toolNPM},
		run: func(e *env, skipped []string) (results, error) {
			dir := filepath.Join(e.cache, "amqplib")
			err := once(filepath.Join(e.cache, "amqplib.done"), func() error {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return fmt.Errorf("install amqplib: %w", err)
				}
				if err := e.command(dir, "npm", "install", "--silent", "--prefix", dir, amqplibPackage).Run(); err != nil {
					return fmt.Errorf("install amqplib: %w", err)
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			return e.roundTripsAt(amqpOf, dir, "node", "roundtrip.js", rabbitJS, skipped)
		},
	}
}

func amqpOf(s *server) string { return s.amqp }
