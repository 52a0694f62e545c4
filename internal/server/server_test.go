package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/polylog-mq/polylog/internal/config"
)

// settings are those of a server on free ports.
func settings() config.Config {
	c := config.Default()
	c.Data.Dir, c.Data.Shards = "data", 2
	c.Kafka.Listen, c.AMQP.Listen, c.HTTP.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	return c
}

// stateOf is a handler that says what the server is doing.
func stateOf(s *Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s.State().String()) })
}

func start(t *testing.T, fs vfs.FS, c config.Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), Options{Config: c, Version: "test", FS: fs, HTTP: stateOf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func TestLife(t *testing.T) {
	fs := vfs.NewMem()
	for range 3 { // a fresh folder, then one with a past
		s := start(t, fs, settings())
		if s.State() != Serving {
			t.Errorf("the server is %v", s.State())
		}
		nc, err := net.Dial("tcp", s.KafkaAddress())
		if err != nil {
			t.Fatal(err)
		}
		amqp, err := net.Dial("tcp", s.AMQPAddress())
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Get("http://" + s.HTTPAddress())
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != "serving" {
			t.Errorf("HTTP says %q, %v", body, err)
		}
		resp.Body.Close()

		began := time.Now()
		s.Stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("stopping took %s with an idle client", took)
		}
		if s.State() != Stopping {
			t.Errorf("a stopped server is %v", s.State())
		}
		if n, err := nc.Read(make([]byte, 1)); err == nil {
			t.Errorf("a stopped server sends %d bytes", n)
		}
		nc.Close()
		amqp.Close()
		if _, err := net.Dial("tcp", s.KafkaAddress()); err == nil {
			t.Error("a stopped server accepts connections")
		}
		s.Stop() // again does nothing
	}
}

func TestProtocolsCanBeSwitchedOff(t *testing.T) {
	c := settings()
	c.Kafka.Listen, c.AMQP.Listen, c.HTTP.Listen = "", "", ""
	s := start(t, vfs.NewMem(), c)
	if s.KafkaAddress() != "" || s.AMQPAddress() != "" || s.HTTPAddress() != "" {
		t.Errorf("bound: %q, %q, %q", s.KafkaAddress(), s.AMQPAddress(), s.HTTPAddress())
	}
}

func TestRefusalsToStart(t *testing.T) {
	fs := vfs.NewMem()
	first := start(t, fs, settings())
	busy, locked := settings(), settings()
	busy.Kafka.Listen = first.KafkaAddress()
	for _, c := range []struct {
		name string
		with config.Config
		want string
	}{
		{"a busy port", busy, "kafka.listen"},
		{"a folder in use", locked, "data.dir: data is in use by another server"},
	} {
		_, err := Start(t.Context(), Options{Config: c.with, FS: fs, HTTP: stateOf})
		if _, ok := errors.AsType[*Refusal](err); !ok || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if first.State() != Serving {
		t.Errorf("the first server is %v", first.State())
	}
}

// TestRefusedStartLeavesNothing: the port that was bound before the folder was
// refused is free again.
func TestRefusedStartLeavesNothing(t *testing.T) {
	fs := vfs.NewMem()
	start(t, fs, settings())
	var bound string
	_, err := Start(t.Context(), Options{Config: settings(), FS: fs, HTTP: func(s *Server) http.Handler {
		bound = s.KafkaAddress()
		return stateOf(s)
	}})
	if err == nil || bound == "" {
		t.Fatalf("it starts (%v), or was never bound (%q)", err, bound)
	}
	l, err := net.Listen("tcp", bound)
	if err != nil {
		t.Fatalf("the port is still bound: %v", err)
	}
	l.Close()
}

func TestCancelledStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Start(ctx, Options{Config: settings(), FS: vfs.NewMem()})
	if err == nil {
		t.Error("it starts")
	}
}

// Clients do not agree on what localhost means.
func TestLocalhostIsEveryLoopbackAddress(t *testing.T) {
	if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skip("this machine has no ::1:", err)
	} else {
		l.Close()
	}
	c := settings()
	c.AMQP.Listen = "localhost:0"
	s := start(t, vfs.NewMem(), c)
	host, port, err := net.SplitHostPort(s.AMQPAddress())
	if err != nil || host != "127.0.0.1" {
		t.Errorf("listening on %s, %v", s.AMQPAddress(), err)
	}
	for _, host := range []string{"127.0.0.1", "::1"} {
		nc, err := net.Dial("tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Error(err)
			continue
		}
		nc.Close()
	}

	// Half of the address is another program's.
	taken, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ = net.SplitHostPort(taken.Addr().String())
	c.AMQP.Listen = "localhost:" + port
	var refusal *Refusal
	if _, err := Start(t.Context(), Options{Config: c, Version: "test", FS: vfs.NewMem(), HTTP: stateOf}); !errors.As(err, &refusal) || refusal.Setting != "amqp.listen" {
		t.Errorf("an address that is half another program's: %v", err)
	}
}
