package replica

import (
	"context"
	"fmt"
	"log/slog"
)

// raftLogger passes on what Raft logs. Its news are debug material for an
// operator; its panics mean that the group must not go on, and become a
// raftPanic, which ends the host in order.
type raftLogger struct{ log *slog.Logger }

// raftPanic is Raft's word that its state or its storage is beyond repair.
type raftPanic struct{ what string }

func (p *raftPanic) Error() string { return "raft: " + p.what }

func (l raftLogger) put(level slog.Level, text func() string) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, "raft: "+text())
	}
}

func (l raftLogger) puts(level slog.Level, v []any) {
	l.put(level, func() string { return fmt.Sprint(v...) })
}

func (l raftLogger) putf(level slog.Level, format string, v []any) {
	l.put(level, func() string { return fmt.Sprintf(format, v...) })
}

func (l raftLogger) Debug(v ...any)                   { l.puts(slog.LevelDebug, v) }
func (l raftLogger) Debugf(format string, v ...any)   { l.putf(slog.LevelDebug, format, v) }
func (l raftLogger) Info(v ...any)                    { l.puts(slog.LevelDebug, v) }
func (l raftLogger) Infof(format string, v ...any)    { l.putf(slog.LevelDebug, format, v) }
func (l raftLogger) Warning(v ...any)                 { l.puts(slog.LevelDebug, v) }
func (l raftLogger) Warningf(format string, v ...any) { l.putf(slog.LevelDebug, format, v) }
func (l raftLogger) Error(v ...any)                   { l.puts(slog.LevelError, v) }
func (l raftLogger) Errorf(format string, v ...any)   { l.putf(slog.LevelError, format, v) }
func (l raftLogger) Fatal(v ...any)                   { l.Panic(v...) }
func (l raftLogger) Fatalf(format string, v ...any)   { l.Panicf(format, v...) }
func (l raftLogger) Panic(v ...any)                   { panic(&raftPanic{fmt.Sprint(v...)}) }
func (l raftLogger) Panicf(format string, v ...any)   { panic(&raftPanic{fmt.Sprintf(format, v...)}) }
