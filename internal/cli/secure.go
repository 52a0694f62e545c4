package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/polylog-mq/polylog/internal/cli/kafkaclient"
)

// The variables behind the flags of TLS.
const (
	tlsEnv     = "POLYLOG_TLS"
	tlsCAEnv   = "POLYLOG_TLS_CA"
	tlsCertEnv = "POLYLOG_TLS_CERT"
	tlsKeyEnv  = "POLYLOG_TLS_KEY"
)

// secured is how a command reaches its server by TLS.
type secured struct {
	on            bool
	ca, cert, key string // PEM files, "" for none
}

// tlsFlags adds the flags of commands that speak to a server.
func (a *App) tlsFlags(cmd *cobra.Command, s *secured) {
	f := cmd.Flags()
	f.BoolVar(&s.on, "tls", a.env(tlsEnv, "") != "", "speak TLS; also "+tlsEnv+"=1. The three that follow ask for it, too")
	f.StringVar(&s.ca, "tls-ca", a.env(tlsCAEnv, ""), "PEM file of the authorities that vouch for the server, else the system's; also "+tlsCAEnv)
	f.StringVar(&s.cert, "tls-cert", a.env(tlsCertEnv, ""), "PEM file of a certificate to show, if the server asks for one; also "+tlsCertEnv)
	f.StringVar(&s.key, "tls-key", a.env(tlsKeyEnv, ""), "PEM file of its key; also "+tlsKeyEnv)
}

// config reads the files. It is nil for a connection without TLS.
func (s *secured) config() (*tls.Config, error) {
	if !s.on && s.ca == "" && s.cert == "" && s.key == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.ca != "" {
		pem, err := os.ReadFile(s.ca)
		if err != nil {
			return nil, hinted{err, "--tls-ca names a PEM file of certificates", exitUsage}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, hinted{fmt.Errorf("there is no certificate in %s", s.ca), "--tls-ca names a PEM file of certificates", exitUsage}
		}
	}
	if s.cert != "" || s.key != "" {
		pair, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			return nil, hinted{err, "--tls-cert and --tls-key name the PEM files of a certificate and of its key", exitUsage}
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// distrusted says what to do about a handshake that failed, "" if it is not that.
func distrusted(err error) string {
	var record tls.RecordHeaderError
	// Who hears TLS and knows nothing of it answers something else, or hangs up; so
	// does who expects it.
	if errors.As(err, &record) {
		return "the server does not speak TLS there: leave the flags and variables of TLS out, or name its other address"
	}
	if errors.Is(err, kafkaclient.ErrUnreachable) && errors.Is(err, io.EOF) {
		return "it hangs up, as it does if one side speaks TLS and the other does not: say --tls or leave it out, or name its other address"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "--tls-ca or " + tlsCAEnv + " names the authority that vouches for the server"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the server's certificate is for other names than the one that it was reached by"
	}
	return ""
}
