package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/polylog-mq/polylog/internal/protocol/listen"
	"github.com/polylog-mq/polylog/internal/store"
)

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want []string // in the error or in the way out
	}{
		{
			"a busy port", refuseListen("kafka.listen", "--kafka-listen", ":1", &net.OpError{Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}),
			[]string{"kafka.listen: another program listens on :1", "--kafka-listen ''"},
		},
		{
			"a privileged port", refuseListen("http.listen", "--http-listen", ":80", &net.OpError{Err: os.NewSyscallError("bind", syscall.EACCES)}),
			[]string{"http.listen", "ports below 1024"},
		},
		{
			"somebody else's address", refuseListen("kafka.listen", "--kafka-listen", "8.8.8.8:1", &net.OpError{Err: os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)}),
			[]string{"does not have the address 8.8.8.8:1"},
		},
		{
			"a name that does not resolve", refuseListen("kafka.listen", "--kafka-listen", "nohost:1", &net.DNSError{Err: "no such host", Name: "nohost"}),
			[]string{"no such host", "--kafka-listen"},
		},
		{"a locked folder", refuseData("d", fmt.Errorf("x: %w", store.ErrLocked)), []string{"data.dir: d is in use by another server", "--data-dir"}},
		{"a newer folder", refuseData("d", &store.NewerFormatError{Path: "d", Found: 9, Known: 1}), []string{"data format 9", "start the version that wrote it"}},
		{"a read-only folder", refuseData("d", fmt.Errorf("x: %w", store.ErrReadOnly)), []string{"cannot be written", "--data-dir"}},
		{"no permission", refuseData("d", &os.PathError{Op: "mkdir", Err: syscall.EACCES}), []string{"cannot be written", "--data-dir"}},
		{"no place for a folder", refuseData("d", &os.PathError{Op: "mkdir", Err: syscall.ENOENT}), []string{"no folder can be made there", "--data-dir"}},
		{"a file in the way", refuseData("d", &os.PathError{Op: "mkdir", Err: syscall.ENOTDIR}), []string{"no folder can be made there", "--data-dir"}},
		{"a file that is gone", refuseData("d", &os.PathError{Op: "open", Err: syscall.ENOENT}), []string{"damage.md"}},
		{"a full disk", refuseData("d", &os.PathError{Op: "write", Err: syscall.ENOSPC}), []string{"the disk is full", "free some space", "nothing was lost"}},
		{"damage", refuseData("d", &store.DamageError{Path: "d/1.wal", Offset: 77, Reason: "bad checksum", Hint: "restore it"}), []string{"d/1.wal is damaged at offset 77", "restore it", "damage.md"}},
		{"no certificate", refuseTLS("amqp", &listen.FileError{Part: listen.Cert, Path: "c.pem", Err: os.ErrNotExist}), []string{"amqp.tls-cert: c.pem", "--amqp-tls-cert"}},
		{"a strange key", refuseTLS("http", &listen.FileError{Part: listen.Key, Path: "k.pem", Err: errors.New("no match")}), []string{"http.tls-key: k.pem: no match", "--http-tls-key"}},
		{"a secret authority", refuseTLS("kafka", &listen.FileError{Part: listen.ClientCA, Path: "ca", Err: os.ErrPermission}), []string{"kafka.tls-client-ca: ca", "let this user read it"}},
	} {
		var r *Refusal
		if !errors.As(c.err, &r) {
			t.Errorf("%s: %v is no refusal", c.name, c.err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(r.Error()+"\n"+r.Way, want) {
				t.Errorf("%s: no mention of %q in %q, %q", c.name, want, r.Error(), r.Way)
			}
		}
	}
}
