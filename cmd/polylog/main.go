// Command polylog is the server and its command line in one binary.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/polylog-mq/polylog/internal/admin"
	"github.com/polylog-mq/polylog/internal/cli"
)

// version is set when a release is built.
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	app := &cli.App{
		Version: version, Name: os.Args[0], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: os.Environ(),
		HTTP: admin.New,
	}
	code := app.Run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
