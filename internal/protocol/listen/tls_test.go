package listen

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// authority issues certificates.
type authority struct {
	t    *testing.T
	fs   vfs.FS
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	log  *slog.Logger
}

// certificates makes an authority ("ca"), and a certificate of it for the server
// ("cert", "key").
func certificates(t *testing.T, fs vfs.FS) *authority {
	t.Helper()
	a := &authority{t: t, fs: fs, log: slog.New(slog.DiscardHandler)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	a.write("ca", "CERTIFICATE", der)
	a.issue("server", "cert", "key")
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue writes a certificate for name, and its key.
func (a *authority) issue(name, certFile, keyFile string) tls.Certificate {
	a.t.Helper()
	key := newKey(a.t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(certFile, "CERTIFICATE", der)
	a.write(keyFile, "PRIVATE KEY", secret)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) write(name, kind string, b []byte) {
	a.t.Helper()
	f, err := a.fs.Create(name, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) files() Files { return Files{Cert: "cert", Key: "key", ClientCA: "ca"} }

func (a *authority) config(t *testing.T, require bool) *tls.Config {
	t.Helper()
	files := a.files()
	files.Require = require
	config, err := TLS(a.fs, files, a.log)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// client is how a client connects that trusts the authority.
func (a *authority) client(own ...tls.Certificate) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", Certificates: own, MinVersion: tls.VersionTLS10}
}

// shake connects and returns the server's certificate's name.
func shake(t *testing.T, address string, config *tls.Config) (name string, err error) {
	t.Helper()
	nc := tls.Client(dial(t, address), config)
	if err := nc.Handshake(); err != nil {
		return "", err
	}
	if _, err := nc.Write([]byte{1}); err != nil { // TLS 1.3 tells of a refusal only now
		return "", err
	}
	if _, err := io.ReadFull(nc, make([]byte, 1)); err != nil {
		return "", err
	}
	return nc.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestClientsCertificates(t *testing.T) {
	a := certificates(t, vfs.NewMem())
	g, address := gate(t, 10, false, a.config(t, false))
	known := a.issue("somebody", "c", "k")
	stranger := certificates(t, vfs.NewMem()).issue("somebody", "c", "k")

	if name, err := shake(t, address, a.client(known)); err != nil || name != "server" {
		t.Fatalf("%q, %v", name, err)
	}
	if c := Certificate(g.Open()[0].nc); c == nil || c.Subject.CommonName != "somebody" {
		t.Errorf("the client's certificate is %v", c)
	}
	if _, err := shake(t, address, a.client(stranger)); err == nil {
		t.Error("a certificate of a strange authority is taken")
	}
	if _, err := shake(t, address, a.client()); err != nil {
		t.Errorf("without a certificate: %v", err)
	}
	_, strict := gate(t, 10, false, a.config(t, true))
	if _, err := shake(t, strict, a.client()); err == nil {
		t.Error("a client without a certificate is let in where one is required")
	}
	if _, err := shake(t, strict, a.client(known)); err != nil {
		t.Errorf("with the certificate that is required: %v", err)
	}
}

func TestExpires(t *testing.T) {
	a := certificates(t, vfs.NewMem())
	if left := time.Until(Expires(a.config(t, false))); left < 50*time.Minute || left > time.Hour {
		t.Errorf("the certificate expires in %s", left)
	}
	if !Expires(nil).IsZero() {
		t.Error("without TLS something expires")
	}
}

func TestOldVersionsAreRefused(t *testing.T) {
	a := certificates(t, vfs.NewMem())
	_, address := gate(t, 10, false, a.config(t, false))
	for version, served := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		config := a.client()
		config.MaxVersion = version
		if _, err := shake(t, address, config); (err == nil) != served {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

func TestWithoutTLS(t *testing.T) {
	a := certificates(t, vfs.NewMem())
	_, address := gate(t, 10, false, a.config(t, false))
	nc := dial(t, address)
	if _, err := nc.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, nc); err != nil {
		t.Errorf("a client without TLS is not disconnected: %v", err)
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	a := certificates(t, vfs.NewMem())
	_, address := gate(t, 100, false, a.config(t, false))
	holds := func(when, want string) {
		t.Helper()
		if name, err := shake(t, address, a.client()); err != nil || name != want {
			t.Errorf("%s: %q, %v; want %q", when, name, err, want)
		}
	}
	holds("at first", "server")
	a.issue("renewed", "cert", "key")
	holds("after a change", "renewed")
	a.write("cert", "CERTIFICATE", []byte("nonsense"))
	holds("after a change for the worse", "renewed")
	if err := a.fs.Remove("key"); err != nil {
		t.Fatal(err)
	}
	holds("without a key", "renewed")
	a.issue("again", "cert", "key")
	holds("after it was set right", "again")
}

func TestUselessFiles(t *testing.T) {
	fs := vfs.NewMem()
	a := certificates(t, fs)
	a.issue("other", "other", "other-key")
	for want, files := range map[Part]Files{
		Cert:     {Cert: "nowhere", Key: "key"},
		Key:      {Cert: "cert", Key: "other-key"},
		ClientCA: {Cert: "cert", Key: "key", ClientCA: "key"},
	} {
		_, err := TLS(fs, files, a.log)
		if bad, ok := errors.AsType[*FileError](err); !ok || bad.Part != want {
			t.Errorf("%+v: %v, want it to name %s", files, err, want)
		}
	}
	if _, err := TLS(fs, Files{Cert: "key", Key: "key"}, a.log); !errors.Is(err, errNoCertificate) {
		t.Errorf("a key for a certificate: %v", err)
	}
}
