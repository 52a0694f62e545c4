package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/access"
)

// serving serves s on a port of its own until the test ends.
func serving(tb testing.TB, s *Server) string {
	tb.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	tb.Cleanup(func() {
		_ = l.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Shutdown(ctx)
		if err := <-served; err != nil {
			tb.Error(err)
		}
	})
	return l.Addr().String()
}

// bareServer has no broker: it can say what it speaks, and no more.
func bareServer() *Server {
	return New(Options{Access: access.Policy{}, Logger: slog.New(slog.DiscardHandler)})
}

// client is a connection that speaks in frames.
type client struct {
	t testing.TB
	net.Conn
	correlation int32
}

func dial(tb testing.TB, address string) *client {
	tb.Helper()
	var d net.Dialer
	nc, err := d.DialContext(tb.Context(), "tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		tb.Fatal(err)
	}
	return &client{t: tb, Conn: nc}
}

// send writes a request and returns its correlation id.
func (c *client) send(req kmsg.Request) int32 {
	c.t.Helper()
	c.correlation++
	c.write(frameOf(req, c.correlation))
	return c.correlation
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// frameOf returns a request as a frame with its length.
func frameOf(req kmsg.Request, correlation int32) []byte {
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID("test"))
	return f.AppendRequest(nil, req, correlation)
}

// receive reads the response to req, which must be the next.
func (c *client) receive(req kmsg.Request, correlation int32) kmsg.Response {
	c.t.Helper()
	var prefix [4]byte
	if _, err := io.ReadFull(c, prefix[:]); err != nil {
		c.t.Fatalf("reading the answer to %s: %v", kmsg.NameForKey(req.Key()), err)
	}
	b := make([]byte, binary.BigEndian.Uint32(prefix[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		c.t.Fatal(err)
	}
	if got := int32(binary.BigEndian.Uint32(b)); got != correlation {
		c.t.Fatalf("answer %d, want %d", got, correlation)
	}
	b = b[4:]
	if req.IsFlexible() && req.Key() != keyAPIVersions {
		b = b[1:]
	}
	resp := req.ResponseKind()
	if err := resp.ReadFrom(b); err != nil {
		c.t.Fatalf("decoding the answer to %s v%d: %v", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return resp
}

// ask sends a request and returns its response.
func (c *client) ask(req kmsg.Request) kmsg.Response {
	c.t.Helper()
	return c.receive(req, c.send(req))
}

// closed checks that the server has closed the connection without a word.
func (c *client) closed() {
	c.t.Helper()
	n, err := io.Copy(io.Discard, c)
	if n != 0 || errors.Is(err, context.DeadlineExceeded) {
		c.t.Fatalf("%d bytes came, then %v", n, err)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatal("the connection is still open")
	}
}

func apiVersionsRequest(version int16) *kmsg.ApiVersionsRequest {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = version
	req.ClientSoftwareName, req.ClientSoftwareVersion = "a-client", "1.0.0"
	return req
}

func TestApiVersions(t *testing.T) {
	c := dial(t, serving(t, bareServer()))
	for v := int16(0); v <= 4; v++ {
		resp := c.ask(apiVersionsRequest(v)).(*kmsg.ApiVersionsResponse)
		if resp.ErrorCode != errNone || len(resp.ApiKeys) != len(apis) || (len(resp.FinalizedFeatures) == 1) != (v >= 3) {
			t.Errorf("v%d: %+v", v, resp)
		}
		for i, k := range resp.ApiKeys {
			if k.ApiKey != apis[i].key || k.MaxVersion != apis[i].served.max {
				t.Errorf("v%d: %+v, want %s", v, k, apis[i].name)
			}
			if k.ApiKey == keyProduce && k.MinVersion != 0 {
				t.Errorf("v%d: Produce is advertised from %d", v, k.MinVersion)
			}
		}
	}
}

func TestApiVersionsOfTheFuture(t *testing.T) {
	c := dial(t, serving(t, bareServer()))
	req := apiVersionsRequest(4)
	frame := frameOf(req, 77)
	binary.BigEndian.PutUint16(frame[6:], 99) // the version
	c.write(frame)
	v0 := apiVersionsRequest(0)
	resp := c.receive(v0, 77).(*kmsg.ApiVersionsResponse)
	if resp.ErrorCode != errUnsupportedVersion || len(resp.ApiKeys) != len(apis) {
		t.Fatalf("%+v", resp)
	}
	if resp := c.ask(req).(*kmsg.ApiVersionsResponse); resp.ErrorCode != errNone {
		t.Fatalf("the second try: %+v", resp)
	}
}

func TestApiVersionsChecksTheSoftware(t *testing.T) {
	for s, ok := range map[string]bool{
		"librdkafka": true, "apache-kafka-java": true, "1.0.0": true, "a": true,
		"": false, "-a": false, "a.": false, "a b": false, "a_b": false, "ä": false,
	} {
		if validSoftware(s) != ok {
			t.Errorf("%q: valid is %v", s, !ok)
		}
	}
	c := dial(t, serving(t, bareServer()))
	req := apiVersionsRequest(3)
	req.ClientSoftwareName = "not a name"
	if resp := c.ask(req).(*kmsg.ApiVersionsResponse); resp.ErrorCode != errInvalidRequest {
		t.Fatalf("%+v", resp)
	}
}

func TestFeaturesFromZeroAreHiddenFromOldClients(t *testing.T) {
	fs := []feature{{"a", 0, 1}, {"b", 1, 2}}
	if got := supported(fs, 3); len(got) != 1 || got[0].Name != "b" {
		t.Errorf("v3: %+v", got)
	}
	if got := supported(fs, 4); len(got) != 2 || got[0].Name != "a" {
		t.Errorf("v4: %+v", got)
	}
}

func TestBytesThatAreNotKafkaEndTheConnection(t *testing.T) {
	address := serving(t, bareServer())
	header := func(key, version uint16) []byte {
		b := binary.BigEndian.AppendUint32(nil, 10)
		b = binary.BigEndian.AppendUint16(b, key)
		b = binary.BigEndian.AppendUint16(b, version)
		b = binary.BigEndian.AppendUint32(b, 1)
		return binary.BigEndian.AppendUint16(b, 0xffff)
	}
	for name, b := range map[string][]byte{
		"http":                    []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"a negative length":       {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
		"a length below a header": {0, 0, 0, 7, 0, 18, 0, 0, 0, 0, 0},
		"a length beyond limits":  {0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 9, 0, 0, 0, 1},
		"an unknown key":          header(1000, 0),
		"a broker's key":          header(4, 0),
		"an old version":          header(keyProduce, 2),
		"a future version":        header(3, 99),
		"a broken header":         append(binary.BigEndian.AppendUint32(nil, 10), 0, 18, 0, 0, 0, 0, 0, 1, 0, 50),
		"a broken body":           append(binary.BigEndian.AppendUint32(nil, 14), 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 9),
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, address)
			c.write(b)
			c.closed()
		})
	}
}

func TestAnswersComeInOrderHoweverTheBytesCome(t *testing.T) {
	c := dial(t, serving(t, bareServer()))
	var all []byte
	const n = 200
	for i := range int32(n) {
		all = append(all, frameOf(apiVersionsRequest(int16(i%5)), i)...)
	}
	go func() {
		for len(all) > 0 {
			k := min(len(all), 1+len(all)%97)
			if _, err := c.Write(all[:k]); err != nil {
				return
			}
			all = all[k:]
		}
	}()
	for i := range int32(n) {
		c.receive(apiVersionsRequest(int16(i%5)), i)
	}
}

func TestLargeFramesAreReadWhole(t *testing.T) {
	c := dial(t, serving(t, bareServer()))
	for _, size := range []int{firstRead - 100, firstRead, firstRead + 1, readGrowth*firstRead + 1, maxFrame - 100} {
		req := apiVersionsRequest(3)
		frame := frameOf(req, 5)
		pad := bytes.Repeat([]byte{'x'}, size) // trailing bytes are allowed
		frame = append(frame, pad...)
		binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
		c.write(frame)
		c.receive(req, 5)
	}
}

// TestShutdownAnswersWhatIsUnderWay: the connection is lent to the poller, where
// there is one, and ends all the same.
func TestShutdownAnswersWhatIsUnderWay(t *testing.T) {
	s := bareServer()
	address := serving(t, s)
	c := dial(t, address)
	c.ask(apiVersionsRequest(0))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s.Shutdown(ctx)
	if ctx.Err() != nil {
		t.Fatal("an idle connection kept the server from stopping")
	}
	c.closed()
	late := dial(t, address)
	late.closed()
}

func TestCutSplitsBuffersBySize(t *testing.T) {
	for n := 1; n <= 12; n++ {
		rest := net.Buffers{[]byte("abc"), []byte("d"), []byte("efghij")}
		var got []byte
		for len(rest) > 0 {
			part := bytes.Join(cut(&rest, n), nil)
			if len(part) > n || len(part) < n && len(rest) > 0 {
				t.Fatalf("n=%d: a part of %d", n, len(part))
			}
			got = append(got, part...)
		}
		if string(got) != "abcdefghij" {
			t.Fatalf("n=%d: %q", n, got)
		}
	}
}

func TestAdvertisedAddresses(t *testing.T) {
	local := netip.MustParseAddrPort("127.0.0.1:1")
	for want, c := range map[string]struct {
		addresses map[string]string
		secure    bool
	}{
		"127.0.0.1:1": {nil, true},
		"plain:2":     {map[string]string{"kafka": "plain:2", "kafka+tls": "tls:3"}, false},
		"tls:3":       {map[string]string{"kafka": "plain:2", "kafka+tls": "tls:3"}, true},
	} {
		s := newSession(bareServer(), local, local)
		s.secure = c.secure
		host, port := s.address(&broker.Node{Addresses: c.addresses})
		if got := fmt.Sprintf("%s:%d", host, port); got != want {
			t.Errorf("%+v: %s, want %s", c, got, want)
		}
	}
}
