package peer

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
)

// rabbitMQ is where Debian's package puts the program.
const rabbitMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"

// StartRabbitMQ starts Debian's RabbitMQ with its defaults, except for the
// places of its data and ports.
func StartRabbitMQ(dir string) (*Server, error) {
	if _, err := os.Stat(rabbitMQ); err != nil {
		return nil, fmt.Errorf("start RabbitMQ: it is missing; on Debian: apt-get install rabbitmq-server")
	}
	var addrs, ports [3]string
	for i := range addrs {
		var err error
		if addrs[i], err = freePort(); err != nil {
			return nil, err
		}
		if _, ports[i], err = net.SplitHostPort(addrs[i]); err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
	}
	env := []string{
		"HOME=" + dir,
		"RABBITMQ_NODENAME=bench" + ports[0] + "@localhost",
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		"RABBITMQ_NODE_PORT=" + ports[0],
		"RABBITMQ_DIST_PORT=" + ports[1],
		"ERL_EPMD_PORT=" + ports[2], "ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_MNESIA_BASE=" + filepath.Join(dir, "data"),
		"RABBITMQ_LOG_BASE=" + filepath.Join(dir, "log"),
		"RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "none"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(dir, "plugins"),
	}
	s, err := start("rabbitmq", dir, addrs[0], env, rabbitMQ)
	if err != nil {
		return nil, err
	}
	s.AMQP, s.after = s.Addr, []string{"epmd", "-kill"} // of the port in its environment
	s.Version = "unknown"
	if log, err := os.ReadFile(filepath.Join(dir, "rabbitmq.log")); err == nil {
		if m := rabbitVersion.FindSubmatch(log); m != nil {
			s.Version = string(m[1])
		}
	}
	return s, nil
}

var rabbitVersion = regexp.MustCompile(`RabbitMQ (\d+\.\d+\.\d+)`)
