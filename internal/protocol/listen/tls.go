package listen

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Files are what a listener with TLS stands on: files in PEM. They are read
// again for the next connection when one of them has changed.
type Files struct {
	// Cert is the certificate with those that lead to its authority, Key its key.
	Cert, Key string
	// ClientCA are the authorities of the clients' certificates. If it is empty
	// clients are not asked for one.
	ClientCA string
	// Require refuses clients without a certificate; else those that have none
	// are let in, and have to say who they are in another way.
	Require bool
	// Protocols are those offered in the handshake (ALPN), by preference.
	Protocols []string
}

// Part is one of the files.
type Part string

// The parts, by the last word of the settings that name them.
const (
	Cert     Part = "cert"
	Key      Part = "key"
	ClientCA Part = "client-ca"
)

// FileError says which of the files is of no use.
type FileError struct {
	Part Part
	Path string
	Err  error
}

func (e *FileError) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

var errNoCertificate = errors.New("there is no certificate in PEM in it")

// TLS returns the configuration for listeners that stand on the files, which are
// read at once: the error is a *FileError. When they cannot be read later, what
// was read before stays in force and log says so. TLS 1.2 and newer are spoken.
func TLS(fs vfs.FS, files Files, log *slog.Logger) (*tls.Config, error) {
	k := &keeper{fs: fs, files: files, log: log}
	seen := k.look()
	config, err := k.load()
	if err != nil {
		return nil, err
	}
	k.seen, k.config = seen, config
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return k.current(), nil
		},
	}, nil
}

// Expires returns when the certificate of a configuration that TLS has made
// expires: the one that the next client is shown. It is zero without one.
func Expires(config *tls.Config) time.Time {
	if config == nil {
		return time.Time{}
	}
	now, err := config.GetConfigForClient(nil)
	if err != nil || now.Certificates[0].Leaf == nil {
		return time.Time{}
	}
	return now.Certificates[0].Leaf.NotAfter
}

// Secure returns l with TLS, or as it is if there is no config.
func Secure(l net.Listener, config *tls.Config) net.Listener {
	if config == nil {
		return l
	}
	return tls.NewListener(l, config)
}

// Certificate returns the certificate that a client has shown and that one of
// the authorities vouches for, nil without one.
func Certificate(nc net.Conn) *x509.Certificate {
	t, ok := nc.(*tls.Conn)
	if !ok {
		return nil
	}
	if s := t.ConnectionState(); len(s.VerifiedChains) > 0 {
		return s.PeerCertificates[0]
	}
	return nil
}

// keeper keeps what was read from the files, and reads them again.
type keeper struct {
	fs    vfs.FS
	files Files
	log   *slog.Logger

	mu     sync.Mutex
	seen   [3]stamp
	config *tls.Config
}

// stamp tells one version of a file from another.
type stamp struct {
	at   time.Time
	size int64
}

// look looks at the files, without reading them.
func (k *keeper) look() (seen [3]stamp) {
	for i, path := range [...]string{k.files.Cert, k.files.Key, k.files.ClientCA} {
		if path == "" {
			continue
		}
		if info, err := k.fs.Stat(path); err == nil {
			seen[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return seen
}

// current returns the configuration for a connection that begins.
func (k *keeper) current() *tls.Config {
	k.mu.Lock()
	defer k.mu.Unlock()
	seen := k.look()
	if seen == k.seen {
		return k.config
	}
	k.seen = seen // also if they are of no use: once they are, they have changed again
	config, err := k.load()
	if err != nil {
		k.log.Warn("the certificate stays as it was", "error", err)
		return k.config
	}
	k.log.Info("the certificate was read again", "file", k.files.Cert)
	k.config = config
	return config
}

// load reads the files.
func (k *keeper) load() (*tls.Config, error) {
	certPEM, err := k.read(Cert, k.files.Cert)
	if err != nil {
		return nil, err
	}
	keyPEM, err := k.read(Key, k.files.Key)
	if err != nil {
		return nil, err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(certPEM) {
		return nil, &FileError{Cert, k.files.Cert, errNoCertificate}
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, &FileError{Key, k.files.Key, err}
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: k.files.Protocols,
		// A ticket would outlive the authorities by which its client was let in.
		SessionTicketsDisabled: true,
	}
	if k.files.ClientCA == "" {
		return config, nil
	}
	caPEM, err := k.read(ClientCA, k.files.ClientCA)
	if err != nil {
		return nil, err
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(caPEM) {
		return nil, &FileError{ClientCA, k.files.ClientCA, errNoCertificate}
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	if k.files.Require {
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config, nil
}

func (k *keeper) read(part Part, path string) ([]byte, error) {
	f, err := k.fs.Open(path)
	if err != nil {
		return nil, &FileError{part, path, err}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(b) > maxPEM {
		err = fmt.Errorf("it is larger than %d bytes", maxPEM)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, &FileError{part, path, err}
	}
	return b, nil
}
