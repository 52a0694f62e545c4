package peer

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// BuildPolylog compiles the server of this checkout, whose main module lies at
// root, into dir and returns the program's path.
func BuildPolylog(root, dir string) (string, error) {
	bin := filepath.Join(dir, "polylog")
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/polylog")
	cmd.Dir, cmd.Env = root, append(cmd.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build polylog: %w\n%s", err, out)
	}
	return bin, nil
}

// StartPolylog starts the program with its defaults, except for the places of
// its data and ports.
func StartPolylog(bin, dir string) (*Server, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	amqp, err := freePort()
	if err != nil {
		return nil, err
	}
	version, err := exec.Command(bin, "version").Output()
	if err != nil {
		return nil, fmt.Errorf("ask polylog for its version: %w", err)
	}
	help, _ := exec.Command(bin, "serve", "--help").Output() // without it there is no other listener
	args := []string{bin, "serve", "--data-dir", filepath.Join(dir, "data"), "--kafka-listen", addr}
	for _, flag := range listeners(string(help)) {
		switch flag {
		case "--kafka-listen":
		case "--amqp-listen":
			args = append(args, flag, amqp)
		default: // the machine may have a server already
			args = append(args, flag, "")
		}
	}
	s, err := start("polylog", dir, addr, nil, args...)
	if err != nil {
		return nil, err
	}
	s.AMQP = amqp
	s.Version = strings.TrimSpace(string(version))
	return s, nil
}

// listeners returns the flags that say where to listen.
func listeners(help string) []string {
	flags := listenFlag.FindAllString(help, -1)
	slices.Sort(flags)
	return slices.Compact(flags)
}

var listenFlag = regexp.MustCompile(`--[a-z0-9]+-listen\b`)
