package cli

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"github.com/polylog-mq/polylog/internal/store/checkpoint"
	"github.com/polylog-mq/polylog/internal/store/segment"
	"github.com/polylog-mq/polylog/internal/store/wal"
)

func (a *App) debugCommand() *cobra.Command {
	return noun("debug", "Look inside the files of a data folder",
		a.dumpNoun("wal", "Files of the write-ahead log (*.wal)", "FILE...", wal.Dump),
		a.dumpNoun("segment", "Data files and run indexes of segments", "FILE...", segment.Dump),
		a.dumpNoun("checkpoint", "The checkpoint, a folder; the server must be stopped", "FOLDER", checkpoint.Dump),
	)
}

// dumpNoun returns the commands of one kind of file.
func (a *App) dumpNoun(name, short, args string, dump func(vfs.FS, string, io.Writer) error) *cobra.Command {
	return noun(name, short, &cobra.Command{
		Use: "dump " + args, Short: "Print what a file holds, readably", Args: arguments(1, -1),
		Long: "Print what a file holds, readably. Nothing is changed.",
		RunE: func(_ *cobra.Command, paths []string) error {
			for _, path := range paths {
				if len(paths) > 1 {
					fmt.Fprintf(a.Out, "== %s\n", path)
				}
				if err := dump(vfs.Default, path, a.Out); err != nil {
					return dumpHint(path, err)
				}
			}
			return nil
		},
	})
}

// dumpHint says what to do about a file that cannot be read.
func dumpHint(path string, err error) error {
	switch {
	case errors.Is(err, syscall.EISDIR):
		return hinted{err, "name the files in it: " + filepath.Join(path, "*"), exitUsage}
	case errors.Is(err, syscall.EAGAIN): // of the lock
		return hinted{err, "a server uses the folder: stop it first, or look at a copy", exitFailed}
	}
	return err
}
