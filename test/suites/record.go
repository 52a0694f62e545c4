package main

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// recordedBytes bounds a request that is kept, recordedEach how many of one
	// suite, operation and version are.
	recordedBytes = 1500
	recordedEach  = 2
	maxRequest    = 64 << 20
)

// recorder keeps the requests that clients send: the bodies, the seeds of a fuzz
// target. It stands between the clients and a server that advertises it.
type recorder struct {
	path string
	mu   sync.Mutex
	kept map[requestKind][]string // bodies in hex
}

type requestKind struct {
	suite        string
	key, version int16
}

// openRecorder reads what was recorded before; a suite that runs again replaces
// its own.
func openRecorder(path string) (*recorder, error) {
	r := &recorder{path: path, kept: map[requestKind][]string{}}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read what was recorded: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 4 && f[0] != "#" {
			key, kerr := strconv.ParseInt(f[1], 10, 16)
			version, verr := strconv.ParseInt(f[2], 10, 16)
			if err := errors.Join(kerr, verr); err != nil {
				return nil, fmt.Errorf("read what was recorded: %w", err)
			}
			k := requestKind{f[0], int16(key), int16(version)}
			r.kept[k] = append(r.kept[k], f[3])
		}
	}
	return r, nil
}

func (r *recorder) forget(suite string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := range r.kept {
		if k.suite == suite {
			delete(r.kept, k)
		}
	}
}

// save writes the file, sorted.
func (r *recorder) save() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for k, bodies := range r.kept {
		for _, b := range bodies {
			lines = append(lines, fmt.Sprintf("%s %d %d %s\n", k.suite, k.key, k.version, b))
		}
	}
	slices.Sort(lines)
	head := "# Requests of real clients: suite, operation, version, body. Recorded by\n" +
		"# cd test && go run ./suites -binary ../bin/polylog -record ../internal/protocol/kafka/testdata/captured.txt\n"
	if err := os.WriteFile(r.path, []byte(head+strings.Join(lines, "")), 0o644); err != nil {
		return fmt.Errorf("write what was recorded: %w", err)
	}
	return nil
}

// keep notes a request (without its length): the first of a kind, and then the
// largest.
func (r *recorder) keep(suite string, frame []byte) {
	k, body, ok := parseRequest(frame)
	if k.suite = suite; !ok || len(body) > recordedBytes {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	text := hex.EncodeToString(body)
	switch all := r.kept[k]; {
	case text == "" || slices.Contains(all, text):
	case len(all) < recordedEach:
		r.kept[k] = append(all, text)
	case len(text) > len(all[len(all)-1]):
		all[len(all)-1] = text
	}
}

// parseRequest takes a request apart.
func parseRequest(b []byte) (k requestKind, body []byte, ok bool) {
	if len(b) < 10 {
		return k, nil, false
	}
	k.key, k.version = int16(binary.BigEndian.Uint16(b)), int16(binary.BigEndian.Uint16(b[2:]))
	skip := 10 + max(int(int16(binary.BigEndian.Uint16(b[8:]))), 0)
	req := kmsg.RequestForKey(k.key)
	if req == nil || len(b) < skip {
		return k, nil, false
	}
	if req.SetVersion(k.version); req.IsFlexible() {
		skip++ // no tags
	}
	return k, b[min(skip, len(b)):], len(b) >= skip
}

// between accepts clients on l for the server at address until l is closed.
func (r *recorder) between(suite string, l net.Listener, address string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go r.pass(suite, c, address)
	}
}

// pass carries one connection.
func (r *recorder) pass(suite string, c net.Conn, address string) {
	defer func() { _ = c.Close() }()
	s, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = s.Close() }()
	go func() {
		_, _ = io.Copy(c, s) // ends with either connection
		_ = c.Close()
	}()
	in := bufio.NewReader(c)
	for {
		var head [4]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(head[:])
		if n > maxRequest {
			return
		}
		frame := make([]byte, n)
		if _, err := io.ReadFull(in, frame); err != nil {
			return
		}
		r.keep(suite, frame)
		if _, err := s.Write(append(head[:], frame...)); err != nil {
			return
		}
	}
}
