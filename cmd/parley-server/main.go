// Command parley-server is the directory: who people are and where they are.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/internal/version"
	"github.com/parley-chat/parley/server/config"
)

// Exit statuses.
const (
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	a := &app{in: os.Stdin, out: os.Stdout, errs: os.Stderr}
	os.Exit(a.run(ctx, os.Args[1:]))
}

// run runs one command and gives its exit status.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(a.errs)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(a.errs, "parley-server:", err)
	var usage usageError
	// The commands that cobra brings check their own arguments.
	if errors.As(err, &usage) || strings.HasPrefix(err.Error(), "unknown command ") {
		return exitUsage
	}
	return exitFailure
}

// app is what all commands share.
type app struct {
	in   *os.File
	out  io.Writer
	errs io.Writer

	config string
	data   string
	json   bool
}

func (a *app) rootCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "parley-server",
		Short:         "The directory of Parley: who people are and where they are",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("%q is not a command; see: %s --help", args[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&a.config, "config", os.Getenv(configVariable),
		"configuration file (TOML); flags count more (default $"+configVariable+", or "+systemConfig+" if it is there)")
	flags.StringVar(&a.data, "data", "", "folder for accounts and all else that is kept (default "+defaultData()+")")
	flags.BoolVar(&a.json, "json", false, "print JSON, one object a line")
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see: %s --help", err, cmd.CommandPath())
	})
	cmd.AddCommand(a.serveCommand(), a.userCommand(), a.inviteCommand(), a.backupCommand(), a.restoreCommand(), a.versionCommand())
	return cmd
}

// usageError is a call that cannot be meant so: exit status 2.
type usageError struct{ error }

// Unwrap gives the error within.
func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func args(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("usage: %s", cmd.UseLine())
		}
		return nil
	}
}

// group is a command that only has others below it.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("%q is not a command of %s; see: %s --help", args[0], cmd.CommandPath(), cmd.CommandPath())
		}
		return usagef("say what to do; see: %s --help", cmd.CommandPath())
	}}
	cmd.AddCommand(commands...)
	return cmd
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say which version this is", Args: args(0),
		RunE: func(*cobra.Command, []string) error {
			return a.show(map[string]string{"version": version.String(), "go": runtime.Version()},
				"parley-server %s %s\n", version.String(), runtime.Version())
		},
	}
}

const (
	configVariable = "PARLEY_SERVER_CONFIG"
	systemConfig   = "/etc/parley-server/server.toml"
)

// settings reads the configuration file: the one that is named, or the system's
// for those whom it concerns.
func (a *app) settings() (config.Config, error) {
	if a.config != "" {
		return config.Load(a.config)
	}
	c, err := config.Load(systemConfig)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return config.Config{}, nil
	}
	return c, err
}

// folder is the data folder: of the flag, the configuration, or the default.
func (a *app) folder() (string, error) {
	if a.data != "" {
		return a.data, nil
	}
	c, err := a.settings()
	if err != nil {
		return "", err
	}
	if c.Data != "" {
		return c.Data, nil
	}
	return defaultData(), nil
}

// defaultData is the folder that systemd gives, or the user's own.
func defaultData() string {
	if dir := os.Getenv("STATE_DIRECTORY"); dir != "" {
		return dir
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "parley-server")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".local", "share", "parley-server")
}

// show prints a line for people, or an object for programs.
func (a *app) show(object any, format string, args ...any) error {
	if a.json {
		return json.NewEncoder(a.out).Encode(object)
	}
	_, err := fmt.Fprintf(a.out, format, args...)
	return err
}
