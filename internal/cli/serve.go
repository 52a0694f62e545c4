package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/polylog-mq/polylog/internal/config"
	"github.com/polylog-mq/polylog/internal/server"
)

func (a *App) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the server", Args: arguments(0, 0),
		Long: "Run the server until SIGTERM or Ctrl-C, which stop it within a second.\n\n" +
			"Every setting is a flag, an environment variable and a YAML key by one name:\n" +
			"--kafka-listen is POLYLOG_KAFKA_LISTEN is kafka.listen.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := a.loadConfig(cmd)
			if err != nil {
				return err
			}
			return a.serve(cmd.Context(), loaded)
		},
	}
	config.AddFlags(cmd.Flags())
	return cmd
}

// serve runs a server until ctx is done.
func (a *App) serve(ctx context.Context, loaded *config.Loaded) error {
	log := a.logger(&loaded.Config)
	for _, w := range loaded.Warnings {
		log.Warn(w)
	}
	s, err := server.Start(ctx, server.Options{Config: loaded.Config, Version: a.Version, Logger: log, HTTP: a.HTTP})
	if errors.Is(err, context.Canceled) {
		return nil // stopped before it had begun
	}
	if refusal, ok := errors.AsType[*server.Refusal](err); ok {
		return hinted{refusal, refusal.Way, exitFailed}
	}
	if err != nil {
		return err
	}
	if err := a.welcome(s, &loaded.Config); err != nil {
		log.Warn("writing the first lines", "error", err)
	}
	err = s.Wait(ctx)
	s.Stop()
	if err != nil {
		return fmt.Errorf("the server has failed: %w", err)
	}
	log.Info("stopped")
	return nil
}

// logger writes to stderr as the settings say.
func (a *App) logger(c *config.Config) *slog.Logger {
	var level slog.Level
	if level.UnmarshalText([]byte(c.Log.Level)) != nil {
		level = slog.LevelInfo // the configuration was checked, so it cannot happen
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Log.Format == formatJSON {
		return slog.New(slog.NewJSONHandler(a.Err, options))
	}
	return slog.New(slog.NewTextHandler(a.Err, options))
}

// welcome prints where the server listens, one protocol a line ("kafka
// 127.0.0.1:9092"; programs read these too), and what a person can try next.
func (a *App) welcome(s *server.Server, c *config.Config) error {
	text := fmt.Sprintf("Polylog %s, data in %s\n\n", s.Version(), c.Data.Dir)
	kafka, amqp, http := s.KafkaAddress(), s.AMQPAddress(), s.HTTPAddress()
	if kafka != "" {
		text += fmt.Sprintf("  kafka  %s\n", kafka)
	}
	if amqp != "" {
		text += fmt.Sprintf("  amqp   %s   guest, guest\n", amqp)
	}
	if http != "" {
		text += fmt.Sprintf("  http   %s   /livez /readyz /metrics\n", http)
	}
	for _, protocol := range []string{"kafka", "amqp", "http"} {
		if address := s.Address(protocol, true); address != "" {
			text += fmt.Sprintf("  %-6s %s   TLS\n", protocol+"s", address)
		}
	}
	if kafka != "" {
		own := ""
		if kafka != defaultBrokers {
			own = " -b " + kafka
		}
		text += fmt.Sprintf("\nTry, in another terminal:\n"+
			"  echo hello | kcat -P -b %[1]s -t greetings\n"+
			"  kcat -C -b %[1]s -t greetings -o beginning\n"+
			"  %[3]s topic list%[2]s\n", kafka, own, cmp.Or(a.Name, "polylog"))
	}
	_, err := fmt.Fprint(a.Out, text+"\nReady.\n")
	return err
}
