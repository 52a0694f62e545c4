package amqp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/polylog-mq/polylog/test/harness"
)

// pki is an authority in a folder of the test.
type pki struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	p := &pki{t: t, dir: t.TempDir()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	p.key, p.cert = p.newKey(), template
	der := p.sign(template, &p.key.PublicKey)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	p.cert = cert
	p.write("ca", "CERTIFICATE", der)
	return p
}

func (p *pki) newKey() *ecdsa.PrivateKey {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	return key
}

func (p *pki) sign(template *x509.Certificate, key *ecdsa.PublicKey) []byte {
	p.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, p.cert, key, p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	return der
}

func (p *pki) write(name, kind string, b []byte) {
	p.t.Helper()
	if err := os.WriteFile(p.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pki) path(name string) string { return filepath.Join(p.dir, name) }

// issue makes a certificate for a name and writes it, and its key, into files.
func (p *pki) issue(subject pkix.Name, file string) tls.Certificate {
	p.t.Helper()
	key := p.newKey()
	der := p.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: subject, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, &key.PublicKey)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(file, "CERTIFICATE", der)
	p.write(file+"-key", "PRIVATE KEY", secret)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// client is how a client connects that trusts the authority.
func (p *pki) client(own ...tls.Certificate) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(p.cert)
	return &tls.Config{RootCAs: roots, Certificates: own, MinVersion: tls.VersionTLS12}
}

// flags are those of the server for a protocol's listener.
func (p *pki) flags(protocol string, authenticated bool) []string {
	f := []string{
		"--" + protocol + "-tls-listen=127.0.0.1:0", "--" + protocol + "-tls-cert=" + p.path("server"),
		"--" + protocol + "-tls-key=" + p.path("server-key"),
	}
	if authenticated {
		f = append(f, "--"+protocol+"-tls-client-ca="+p.path("ca"))
	}
	return f
}

// TestTLS has clients of all protocols come in by TLS, one of them as whom its
// certificate says it is, and the server take a renewed certificate.
func TestTLS(t *testing.T) {
	p := newPKI(t)
	p.issue(pkix.Name{CommonName: "server"}, "server")
	guest := p.issue(pkix.Name{CommonName: "guest"}, "guest")
	nobody := p.issue(pkix.Name{CommonName: "nobody"}, "nobody")
	flags := append(p.flags("amqp", true), "--amqp-tls-login-from=common_name")
	flags = append(flags, p.flags("kafka", false)...)
	s := harness.Start(t, append(flags, p.flags("http", true)...)...)

	t.Run("amqp", func(t *testing.T) {
		url := "amqps://guest:guest@" + s.Address("amqps") + "/"
		c, err := amqp.DialTLS(url, p.client())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		carries(t, c)
	})
	t.Run("amqp by certificate", func(t *testing.T) {
		c, err := amqp.DialTLS_ExternalAuth("amqps://"+s.Address("amqps")+"/", p.client(guest))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		carries(t, c)
		for name, config := range map[string]*tls.Config{"an unknown name": p.client(nobody), "no certificate": p.client()} {
			if c, err := amqp.DialTLS_ExternalAuth("amqps://"+s.Address("amqps")+"/", config); err == nil {
				c.Close()
				t.Errorf("%s is let in", name)
			}
		}
	})
	t.Run("kafka", func(t *testing.T) {
		cl, err := kgo.NewClient(kgo.SeedBrokers(s.Address("kafkas")), kgo.DialTLSConfig(p.client()), kgo.ConsumeTopics("secret"),
			kgo.AllowAutoTopicCreation())
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "secret", Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if got := cl.PollFetches(ctx).Records(); len(got) != 1 || string(got[0].Value) != "x" {
			t.Errorf("fetched %v", got)
		}
	})
	t.Run("http", func(t *testing.T) { p.browse(t, s, guest) })
	t.Run("command line", func(t *testing.T) { p.types(t, s) })
	t.Run("a renewed certificate", func(t *testing.T) {
		p.issue(pkix.Name{CommonName: "renewed"}, "server")
		nc, err := tls.Dial("tcp", s.Address("amqps"), p.client())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if name := nc.ConnectionState().PeerCertificates[0].Subject.CommonName; name != "renewed" {
			t.Errorf("the server is %q", name)
		}
	})
}

// browse asks over HTTPS, with a certificate and without.
func (p *pki) browse(t *testing.T, s *harness.Server, guest tls.Certificate) {
	t.Helper()
	for _, own := range [][]tls.Certificate{{guest}, nil} {
		h := &http.Client{Transport: &http.Transport{TLSClientConfig: p.client(own...), ForceAttemptHTTP2: true}}
		resp, err := h.Get("https://" + s.Address("https") + "/readyz")
		if (err == nil) != (own != nil) {
			t.Fatalf("with %d certificates: %v", len(own), err)
		}
		if err == nil {
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.ProtoMajor != 2 {
				t.Errorf("%s: %v", resp.Proto, err)
			}
			resp.Body.Close()
		}
		h.CloseIdleConnections()
	}
}

// types runs commands of ours against the listeners with TLS.
func (p *pki) types(t *testing.T, s *harness.Server) {
	t.Helper()
	ca := "--tls-ca=" + p.path("ca")
	kafka, https := "--brokers="+s.Address("kafkas"), "--http=https://"+s.Address("https")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"topic", "create", "typed", kafka, ca}, 0, "typed"},
		{[]string{"topic", "list", kafka}, 3, "say --tls"},
		{[]string{"topic", "list", kafka, "--tls"}, 3, "--tls-ca"},
		{[]string{"topic", "list", ca}, 3, "or leave it out"},
		{[]string{"topic", "list", kafka, "--tls-ca=" + p.path("server-key")}, 2, "no certificate"},
		{[]string{"queue", "create", "typed-q", https, ca, "--tls-cert=" + p.path("guest"), "--tls-key=" + p.path("guest-key"), "--user=guest:guest"}, 0, "typed-q"},
		{[]string{"queue", "list", https, ca, "--user=guest:guest"}, 3, ""},
		{[]string{"queue", "list", "--http=" + s.Address("https"), ca, "--tls-cert=" + p.path("guest"), "--tls-key=" + p.path("guest-key")}, 0, "typed-q"},
	} {
		out, errs, code := s.CLI("", c.args...)
		if code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("polylog %s: exit %d, want %d with %q; %s%s", strings.Join(c.args, " "), code, c.code, c.says, out, errs)
		}
	}
}

// carries sends a large message there and back.
func carries(t *testing.T, c *amqp.Connection) {
	t.Helper()
	ch := channel(t, c)
	declare(t, ch, "secret", amqp.Table{"x-queue-type": "quorum"})
	body := string(make([]byte, 300_000))
	publish(t, ch, "secret", body)
	d := <-consume(t, ch, "secret", 1)
	if string(d.Body) != body {
		t.Errorf("a body of %d bytes", len(d.Body))
	}
	if err := d.Ack(false); err != nil {
		t.Fatal(err)
	}
}
