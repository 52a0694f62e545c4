package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/polylog-mq/polylog/internal/adminapi"
)

const (
	defaultHTTP = "http://127.0.0.1:15672"
	httpEnv     = "POLYLOG_HTTP"
	userEnv     = "POLYLOG_USER"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 256 << 20

// adminClient asks a server's own HTTP API; see package adminapi.
type adminClient struct {
	base     string
	user     string // name:password, "" for none
	tenant   string
	patience time.Duration
	secured  secured
}

// adminFlags adds the flags of commands that ask the HTTP API.
func (a *App) adminFlags(cmd *cobra.Command, c *adminClient) *cobra.Command {
	f := cmd.Flags()
	f.StringVar(&c.base, "http", a.env(httpEnv, defaultHTTP), "HTTP address of the server; also "+httpEnv)
	f.StringVarP(&c.user, "user", "u", a.env(userEnv, ""), "an administrator's name:password; also "+userEnv+". Not needed on the server's machine")
	f.DurationVar(&c.patience, "timeout", 10*time.Second, "how long to wait for the server")
	a.tlsFlags(cmd, &c.secured)
	cmd.ValidArgsFunction = c.complete
	return cmd
}

// shown are the nouns whose names can be asked for, and where.
var shown = map[string]string{"queue": "queues", "exchange": "exchanges", "vhost": "tenants", "user": "users"}

// complete offers the names of what the command's noun stands for, unless it is to
// make a new one.
func (c *adminClient) complete(cmd *cobra.Command, _ []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	noun := cmd.Parent().Name()
	if noun == "schedule" {
		noun = "queue"
	}
	if where := shown[noun]; where != "" && cmd.Name() != "create" && cmd.Name() != "list" || cmd.Parent().Name() == "schedule" {
		var found []struct{ Name string }
		c.patience = completionTimeout
		if c.ask(cmd.Context(), "GET", c.path(where, "", ""), nil, &found) == nil {
			for _, x := range found {
				names = append(names, x.Name)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// vhostFlag adds --vhost for commands about what is in a vhost.
func vhostFlag(cmd *cobra.Command, c *adminClient) *cobra.Command {
	cmd.Flags().StringVar(&c.tenant, "vhost", "/", "the vhost; / is that of Kafka's topics too")
	return cmd
}

// env returns a variable of the environment, or def.
func (a *App) env(name, def string) string {
	for _, kv := range a.Environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok && v != "" {
			return v
		}
	}
	return def
}

// path returns the path of what has a name, and the query that goes with it.
func (c *adminClient) path(noun, name, verb string) string {
	query := url.Values{}
	if c.tenant != "" && c.tenant != "/" {
		query.Set("tenant", c.tenant)
	}
	path := "/v1/" + noun
	if name != "" {
		segment := url.PathEscape(name)
		if name == "_" || strings.Contains("/"+name+"/", "//") || strings.Contains("/"+name+"/", "/./") || strings.Contains("/"+name+"/", "/../") {
			segment = "_"
			query.Set("name", name)
		}
		path += "/" + segment
	}
	if verb != "" {
		path += "/" + verb
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path
}

// with adds to the query of a path.
func with(path, key, value string) string {
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return path + separator + key + "=" + url.QueryEscape(value)
}

// address is the server's URL: what was given, which may be host:port alone.
func (c *adminClient) address(secure bool) string {
	base := strings.TrimSuffix(c.base, "/")
	scheme, rest, full := strings.Cut(base, "://")
	switch {
	case secure && (!full || scheme == "http"):
		return "https://" + cmp.Or(rest, base)
	case !full:
		return "http://" + base
	}
	return base
}

// ask sends a request and reads the answer into what into points to, which may be
// nil.
func (c *adminClient) ask(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encoding the request: %w", err)
		}
		content = bytes.NewReader(encoded)
	}
	secure, err := c.secured.config()
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, c.address(secure != nil)+path, content)
	if err == nil && r.URL.Scheme != "http" && r.URL.Scheme != "https" {
		err = fmt.Errorf("%s is none of HTTP", c.base)
	}
	if err != nil {
		return hinted{err, "--http takes host:port or a URL", exitUsage}
	}
	if name, password, ok := strings.Cut(c.user, ":"); ok {
		r.SetBasicAuth(name, password)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		if hint := distrusted(err); hint != "" {
			return hinted{err, hint, exitUnreachable}
		}
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return err
		}
		if failed, ok := errors.AsType[*url.Error](err); ok { // it begins with the method and the whole path
			err = fmt.Errorf("cannot reach the server at %s: %w", c.base, failed.Err)
		}
		return hinted{err, "'polylog serve' starts a server; --http or " + httpEnv + " names another one", exitUnreachable}
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if answer.StatusCode/100 != 2 {
		return refusedBy(answer, got)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(got, into); err != nil {
		return fmt.Errorf("the answer of %s is not that of a Polylog server: %w", c.base, err)
	}
	return nil
}

// refusedBy returns the error that a server answered with.
func refusedBy(answer *http.Response, body []byte) error {
	var f struct {
		adminapi.Failure
		Reason string // of RabbitMQ's management API, whose error is only a kind
	}
	if json.Unmarshal(body, &f) != nil || f.Error == "" {
		f.Error = strings.TrimSpace(fmt.Sprintf("the server answers %s: %.200s", answer.Status, body))
	}
	e := hinted{err: errors.New(cmp.Or(f.Reason, f.Error)), code: exitRefused}
	switch answer.StatusCode {
	case http.StatusNotFound:
		e.code = exitNotFound
		for noun := range shown {
			if strings.HasPrefix(e.err.Error(), "no "+noun+" ") {
				e.hint = fmt.Sprintf("'polylog %s list' shows what there is, 'polylog %s create' makes one", noun, noun)
			}
		}
	case http.StatusUnauthorized:
		e.hint = "--user name:password says who asks"
	}
	for text, hint := range refusals {
		if strings.Contains(e.err.Error(), text) {
			e.hint = hint
		}
	}
	return e
}

// refusals say what to do about what a server refuses, by what it says.
var refusals = map[string]string{
	"inequivalent arg 'x-":               "what exists keeps the arguments it was made with: delete it first, or use 'polylog policy set'",
	"is not a recognised policy setting": "'polylog policy set --help' lists the settings",
	"to an HTTPS server":                 "--tls, or https:// in --http, speaks TLS",
	"no such user":                       "'polylog user list' shows what there is, 'polylog user create' makes one",
}

// parseArguments reads name=value: numbers, booleans, JSON in quotes or brackets,
// and texts.
func parseArguments(texts []string) (adminapi.Arguments, error) {
	args := adminapi.Arguments{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--argument %q is not name=value", text)
		}
		var v any = value
		dec := json.NewDecoder(strings.NewReader(value))
		dec.UseNumber()
		var parsed any
		if dec.Decode(&parsed) == nil && !dec.More() {
			v = parsed
		}
		args[name] = v
	}
	return args, nil
}

func argumentFlag(cmd *cobra.Command, texts *[]string) {
	cmd.Flags().StringArrayVarP(texts, "argument", "a", nil, "an argument of AMQP's declaration, name=value; can be given several times")
}

// words writes arguments for people.
func words(args adminapi.Arguments) string {
	if len(args) == 0 {
		return ""
	}
	b, err := json.Marshal(args)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// yes writes a flag for people.
func yes(name string, on bool) string {
	if on {
		return name
	}
	return ""
}

// listed joins what is not empty.
func listed(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, ",")
}
