package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/polylog-mq/polylog/internal/config"
)

func (a *App) configCommand() *cobra.Command {
	return noun("config", "Show and check the server's settings", a.configPrint(), a.configCheck())
}

// loadConfig gathers the settings from the flags of cmd and the environment. A
// file that is named stands for --config.
func (a *App) loadConfig(cmd *cobra.Command, file ...string) (*config.Loaded, error) {
	if len(file) > 0 {
		if err := cmd.Flags().Set("config", file[0]); err != nil {
			return nil, usageError{err, cmd.CommandPath()}
		}
	}
	loaded, err := config.Load(cmd.Flags(), a.Environ)
	if err != nil {
		return nil, hinted{err, "'polylog config print' shows every setting, its value and where that comes from", exitUsage}
	}
	return loaded, nil
}

// valueLine is one effective setting.
type valueLine struct {
	Key    string `json:"key" yaml:"key"`
	Value  any    `json:"value" yaml:"value"`
	Origin string `json:"origin" yaml:"origin"`
}

func (a *App) configPrint() *cobra.Command {
	cmd := &cobra.Command{
		Use: "print [FILE]", Short: "Show every setting, its value and where that comes from", Args: arguments(0, 1),
		Long: "Show every setting, its value and where that comes from.\n\nThe same flags, environment and --config as for serve apply; FILE stands for --config FILE. " +
			"--format yaml writes a file that --config reads.",
		RunE: func(cmd *cobra.Command, args []string) error {
			loaded, err := a.loadConfig(cmd, args...)
			if err != nil {
				return err
			}
			if a.format == formatYAML {
				return writeSettings(a.Out, loaded)
			}
			lines := []valueLine{}
			for _, v := range loaded.Values() {
				lines = append(lines, valueLine{v.Key, plain(v.Value), v.Origin})
			}
			return a.show(lines, func(w io.Writer, wide bool) error {
				return writeValues(w, loaded.Values(), wide)
			})
		},
	}
	config.AddFlags(cmd.Flags())
	return a.formatFlag(cmd)
}

// plain turns values with units into the text that sets them.
func plain(v any) any {
	if s, ok := v.(fmt.Stringer); ok {
		return s.String()
	}
	return v
}

func writeValues(w io.Writer, values []config.Value, wide bool) error {
	columns := []string{"SETTING", "VALUE", "ORIGIN"}
	if wide {
		columns = append(columns, "MEANING")
	}
	t := newTable(w, columns...)
	for _, v := range values {
		cells := []any{v.Key, v.Value, v.Origin}
		if wide {
			cells = append(cells, v.Doc)
		}
		t.row(cells...)
	}
	return t.flush()
}

// writeSettings writes a configuration file with the effective settings.
func writeSettings(w io.Writer, loaded *config.Loaded) error {
	for _, v := range loaded.Values() {
		value := fmt.Sprint(v.Value)
		if _, ok := v.Value.(string); ok {
			value = fmt.Sprintf("%q", value)
		}
		if _, err := fmt.Fprintf(w, "# %s (%s)\n%s: %s\n", v.Doc, v.Origin, v.Key, value); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) configCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check [FILE]", Short: "Say whether a server would start with these settings", Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			loaded, err := a.loadConfig(cmd, args...)
			if err != nil {
				return err
			}
			for _, w := range loaded.Warnings {
				fmt.Fprintf(a.Err, "warning: %s\n", w)
			}
			_, err = fmt.Fprintln(a.Out, "the settings are good")
			return err
		},
	}
	config.AddFlags(cmd.Flags())
	return cmd
}
