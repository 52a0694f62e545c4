package cli

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestNamesFromTheServer: completion offers what there is, where something that
// exists is meant; who names what does not exist is told how to see what does.
func TestNamesFromTheServer(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + r.URL.Path {
		case "GET/v1/queues":
			_, _ = w.Write([]byte(`[{"name":"failed"},{"name":"work"}]`))
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"error":"no queue 'wrk' in vhost '/'"}`))
		}
	}))
	defer s.Close()
	environ := []string{httpEnv + "=" + s.URL}
	for command, want := range map[string]bool{"queue describe": true, "queue redrive": true, "schedule list": true, "queue create": false, "exchange delete": false} {
		out, _, _ := run(t, environ, append(append([]string{"__complete"}, strings.Fields(command)...), "")...)
		if got := strings.Contains(out, "failed\nwork\n"); got != want {
			t.Errorf("%s: %q", command, out)
		}
	}
	if _, errs, code := run(t, environ, "queue", "describe", "wrk"); code != exitNotFound || !strings.Contains(errs, "'polylog queue list' shows what there is") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// TestRefusals: who is refused, or reaches nothing, is told what to do.
func TestRefusals(t *testing.T) {
	answer := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(answer))
	}))
	defer s.Close()
	for _, x := range []struct {
		server, answer, says string
		code                 int
	}{
		{s.URL, `{"error":"inequivalent arg 'x-max-priority' for queue 'q'"}`, "'polylog policy set'", exitRefused},
		{s.URL, `{"error":"'max-lenght' is not a recognised policy setting"}`, "'polylog policy set --help' lists", exitRefused},
		{s.URL, "Client sent an HTTP request to an HTTPS server.\n", "--tls, or https://", exitRefused},
		{"http://127.0.0.1:1", "", "cannot reach the server at http://127.0.0.1:1: dial tcp", exitUnreachable},
		{"ftp://x", "", "--http takes host:port or a URL", exitUsage},
	} {
		answer = x.answer
		if _, errs, code := run(t, []string{httpEnv + "=" + x.server}, "queue", "create", "q"); code != x.code || !strings.Contains(errs, x.says) {
			t.Errorf("%s %s: exit %d: %s", x.server, x.answer, code, errs)
		}
	}
}

// TestInputInterrupted: Ctrl-C ends a command that waits for its input.
func TestInputInterrupted(t *testing.T) {
	for _, command := range []string{"user create app", "definitions import -"} {
		in, w := io.Pipe()
		defer w.Close()
		ctx, cancel := context.WithCancel(t.Context())
		app := &App{In: in, Out: io.Discard, Err: io.Discard}
		code := make(chan int, 1)
		go func() { code <- app.Run(ctx, strings.Fields(command)) }()
		if _, err := w.Write([]byte("{")); err != nil { // it reads
			t.Fatal(err)
		}
		cancel()
		if got := <-code; got != exitInterrupted {
			t.Errorf("%s: exit %d", command, got)
		}
	}
}
