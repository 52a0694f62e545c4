package tidy

import (
	"regexp"
	"slices"
	"strings"
)

// Limits on length, in lines. A function counts from "func" to its closing
// brace; there are no exceptions and there is no ratchet.
const (
	maxFuncLines     = 70
	maxFileLines     = 600
	maxTestFileLines = 1000
)

// ban forbids imports or calls.
type ban struct {
	// path is the import path, or a prefix of it when it ends in "/".
	path string
	// names lists the package's functions that are banned; nil bans the import.
	names []string
	// in and except are folders of this repository; no in means everywhere.
	in, except []string
	// exceptFiles are base names of files that may.
	exceptFiles []string
	// tests says which files fall under the ban; code alone unless it says more.
	tests testScope
	// because is the reason, which a breach prints.
	because string
}

type testScope int

const (
	codeOnly testScope = iota
	codeAndTests
	testsOnly
)

var (
	// clockCalls read the machine's clock or wait on it.
	clockCalls = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}
	// fileCalls touch the file system past the vfs seam.
	fileCalls = []string{
		"Open", "OpenFile", "Create", "CreateTemp", "ReadFile", "WriteFile", "ReadDir", "Remove", "RemoveAll",
		"Rename", "Mkdir", "MkdirAll", "MkdirTemp", "Truncate", "Link", "Symlink", "Stat", "Lstat", "Chmod",
		"Chown", "Chtimes", "CopyFS", "DirFS", "OpenInRoot", "OpenRoot", "Readlink",
	}
	// socketCalls are the parts of net by which something is connected.
	socketCalls = []string{
		"Conn", "Dial", "DialTCP", "DialTimeout", "Dialer", "Listen", "ListenConfig", "ListenTCP", "Listener", "TCPConn",
	}
	// simulated are the floors that one goroutine of the simulator must be able
	// to drive.
	simulated = []string{
		"internal/record", "internal/page", "internal/store", "internal/replica", "internal/state",
		"internal/broker", "internal/protocol",
	}
	// belowProtocols are the floors that are told by others what came over the net.
	belowProtocols = []string{
		"internal/record", "internal/page", "internal/codec", "internal/store", "internal/replica", "internal/state", "internal/broker",
	}
	printCalls = []string{"Print", "Printf", "Println"}
	// globalRand are the functions of math/rand/v2 that draw from the shared
	// source.
	globalRand = []string{
		"ExpFloat64", "Float32", "Float64", "Int", "Int32", "Int32N", "Int64", "Int64N", "IntN", "N", "NormFloat64",
		"Perm", "Shuffle", "Uint", "Uint32", "Uint32N", "Uint64", "Uint64N", "UintN",
	}
)

var bans = []ban{
	{
		path: "time", names: clockCalls, in: simulated, exceptFiles: []string{"conn.go"},
		because: "time is told by log time or by internal/clock, so that the simulator owns it",
	},
	{
		path: "time", names: []string{"Sleep"}, tests: testsOnly,
		because: "a test that sleeps is slow or flaky: wait for the event itself",
	},
	{
		path: "os", names: fileCalls, in: simulated,
		because: "files are reached through pebble's vfs, so that crashes and errors can be injected",
	},
	{
		path: "path/filepath", names: []string{"Glob", "Walk", "WalkDir"}, in: simulated,
		because: "files are reached through pebble's vfs, so that crashes and errors can be injected",
	},
	{
		path: "net", in: belowProtocols,
		because: "who has the socket is the protocols' business, and the transport's",
	},
	{
		path: "net/", in: belowProtocols,
		because: "who has the socket is the protocols' business, and the transport's",
	},
	{
		path: "net", names: socketCalls, in: []string{"internal/protocol"}, except: []string{"internal/protocol/listen"},
		exceptFiles: []string{"conn.go", "server.go"},
		because:     "codecs, sessions and operations are driven without a connection: conn.go alone has it",
	},
	{
		path: "math/rand", tests: codeAndTests,
		because: "use math/rand/v2 with a source of your own",
	},
	{
		path: "math/rand/v2", names: globalRand, in: simulated, tests: codeAndTests,
		because: "the shared random source cannot be replayed from a seed",
	},
	{
		path: "log", tests: codeAndTests,
		because: "logs go through log/slog",
	},
	{
		path: "fmt", names: printCalls, except: []string{"internal/cli", "cmd", "test", "bench", "internal/sim"},
		because: "only the command line prints",
	},
	{
		path: "github.com/stretchr/testify/", tests: codeAndTests,
		because: "plain comparisons read as well and fail as clearly",
	},
	{
		path: "github.com/polylog-mq/polylog/internal/config", except: []string{"internal/server", "internal/cli", "internal/config", "cmd"},
		because: "packages take an Options struct; only server and cli know settings",
	},
	clientSDK("github.com/twmb/franz-go/pkg/kgo"),
	clientSDK("github.com/twmb/franz-go/pkg/kadm"),
	clientSDK("github.com/IBM/sarama"),
	clientSDK("github.com/confluentinc/"),
	clientSDK("github.com/segmentio/"),
	clientSDK("github.com/rabbitmq/"),
	clientSDK("github.com/aws/"),
	clientSDK("github.com/redis/"),
}

// pureStd are the parts of the standard library that pure state may use: nothing
// that knows clocks, goroutines, sockets, files or random sources (DESIGN §4).
var pureStd = []string{
	"bytes", "cmp", "container/heap", "crypto/md5", "crypto/sha256", "crypto/sha512", "crypto/subtle", "encoding/binary",
	"encoding/hex", "encoding/json", "errors", "fmt", "hash/crc32", "iter", "maps", "math", "math/bits", "regexp", "slices",
	"sort", "strconv", "strings", "unicode/utf8",
}

// vague are names of files that say nothing of what is in them.
var vague = regexp.MustCompile(`^(utils?|misc|helpers?|common|stuff|shared)(_|\.)`)

func clientSDK(path string) ban {
	return ban{
		path: path, except: []string{"test", "bench"}, tests: codeAndTests,
		because: "client libraries live only in the modules test/ and bench/",
	}
}

// about reports whether the ban concerns an import path.
func (b *ban) about(target string) bool {
	return target == b.path || strings.HasSuffix(b.path, "/") && strings.HasPrefix(target, b.path)
}

// covers reports whether the ban applies to a file of the package.
func (b *ban) covers(pkg, base string, isTest bool) bool {
	if isTest && b.tests == codeOnly || !isTest && b.tests == testsOnly {
		return false
	}
	in := func(folder string) bool { return under(pkg, folder) }
	if len(b.in) > 0 && !slices.ContainsFunc(b.in, in) || slices.ContainsFunc(b.except, in) {
		return false
	}
	return !slices.Contains(b.exceptFiles, base)
}
