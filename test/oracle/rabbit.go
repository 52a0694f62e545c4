package oracle

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// rabbitProgram is where Debian's package puts RabbitMQ.
const rabbitProgram = "/usr/lib/rabbitmq/bin/rabbitmq-server"

// rabbitPlugins are the management API and the types of exchanges that come with it.
const rabbitPlugins = "[rabbitmq_management,rabbitmq_consistent_hash_exchange,rabbitmq_random_exchange,rabbitmq_recent_history_exchange,rabbitmq_sharding]."

// rabbitStart bounds how long RabbitMQ may take to listen.
const rabbitStart = 90 * time.Second

// startRabbit starts RabbitMQ with its data in dir, on free ports of this
// machine, and returns its address, that of its management API up to "/api/", and
// what ends it.
func startRabbit(dir string) (address, api string, stop func(), err error) {
	if _, err := os.Stat(rabbitProgram); err != nil {
		return "", "", nil, fmt.Errorf("RabbitMQ is missing; on Debian: apt-get install rabbitmq-server")
	}
	var ports [4]string
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return "", "", nil, err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "plugins"), []byte(rabbitPlugins), 0o600); err != nil {
		return "", "", nil, fmt.Errorf("choose RabbitMQ's plugins: %w", err)
	}
	log, err := os.Create(filepath.Join(dir, "rabbitmq.out"))
	if err != nil {
		return "", "", nil, fmt.Errorf("make RabbitMQ's log: %w", err)
	}
	cmd := exec.Command(rabbitProgram)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"HOME="+dir,
		"RABBITMQ_NODENAME=oracle"+ports[0]+"@localhost",
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		"RABBITMQ_NODE_PORT="+ports[0],
		"RABBITMQ_DIST_PORT="+ports[1],
		"ERL_EPMD_PORT="+ports[2], "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_RELAXED_COMMAND_CHECK=true",
		"RABBITMQ_MNESIA_BASE="+filepath.Join(dir, "data"),
		"RABBITMQ_LOG_BASE="+filepath.Join(dir, "log"),
		"RABBITMQ_CONFIG_FILE="+filepath.Join(dir, "none"),
		`RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-rabbitmq_management tcp_config [{ip,"127.0.0.1"},{port,`+ports[3]+`}]`,
		"RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(dir, "plugins"),
	)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return "", "", nil, fmt.Errorf("start RabbitMQ: %w", err)
	}
	stop = func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its data is thrown away
		_ = cmd.Wait()
		_ = exec.Command("epmd", "-port", ports[2], "-kill").Run() // the port mapper that it left behind
	}
	address = "127.0.0.1:" + ports[0]
	for began := time.Now(); time.Since(began) < rabbitStart; <-time.After(200 * time.Millisecond) {
		if c, err := handshake("a", address, "/", make(chan event, 16)); err == nil {
			c.close()
			return address, "http://127.0.0.1:" + ports[3] + "/api/", stop, nil
		}
	}
	stop()
	return "", "", nil, fmt.Errorf("RabbitMQ did not listen within %s; its output is in %s", rabbitStart, log.Name())
}

// freePort returns a port of this machine that nobody listens on just now.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	_ = l.Close() // it took no connection
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
