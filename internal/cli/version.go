package cli

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
)

func (a *App) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", Short: "Show the version of this binary", Args: arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version  string `json:"version" yaml:"version"`
				Go       string `json:"go" yaml:"go"`
				Platform string `json:"platform" yaml:"platform"`
			}{a.Version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return a.show(v, func(w io.Writer, _ bool) error {
				_, err := fmt.Fprintf(w, "polylog %s (%s, %s)\n", v.Version, v.Go, v.Platform)
				return err
			})
		},
	}
	return a.formatFlag(cmd)
}
