package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/core"
	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/internal/version"
	"github.com/parley-chat/parley/protocol/controlpb"
)

func (a *app) daemonCommand() *cobra.Command {
	cfg := core.Config{Version: version.String()}
	var level string
	var keyDescriptor int
	cmd := &cobra.Command{
		Use:   "daemon",
		Short: "Run the headless core in the foreground",
		Long: `Run the headless core in the foreground.

Other commands start one in the background when none runs; its log is then
parley.log in the profile's folder. Here the log goes to standard error.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if cfg.Folders, err = client.FoldersOf(a.profile); err != nil {
				return usageError{err}
			}
			if cfg.Log, err = a.logger(level); err != nil {
				return err
			}
			if _, err := identity.ParsePlace(cfg.KeyPlace); err != nil {
				return usageError{err}
			}
			if keyDescriptor >= 0 {
				cfg.KeyDescriptor = identity.NewDescriptor(keyDescriptor)
			}
			if cfg.BundledPlugins == "" {
				if cfg.BundledPlugins, err = bundledPlugins(); err != nil {
					return err
				}
			}
			if err := background(); err != nil {
				cfg.Log.Warn("the core does not give way to the window", "error", err)
			}
			c, err := core.New(cmd.Context(), cfg)
			if errors.Is(err, core.ErrInvalid) {
				return usagef("%s", strings.TrimSuffix(err.Error(), ": "+core.ErrInvalid.Error()))
			}
			if err != nil {
				return err
			}
			// A log that nobody reads any more does not end the core.
			signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
			cfg.Log.Info("parley runs", "version", cfg.Version, "profile", cfg.Folders.Profile, "socket", cfg.Folders.Socket(), "process", os.Getpid())
			return c.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&cfg.Listen, "listen", os.Getenv("PARLEY_LISTEN"), "`HOST:PORT` where peers connect; port 0 is a free one")
	cmd.Flags().StringVar(&cfg.BundledPlugins, "plugins", os.Getenv("PARLEY_PLUGINS"), "`FOLDER` of Parley's own plugins")
	cmd.Flags().StringVar(&cfg.KeyPlace, "key", os.Getenv("PARLEY_KEY"), "`PLACE` where the key of a new account is kept: secret-service, file, descriptor or credential")
	cmd.Flags().IntVar(&keyDescriptor, "key-fd", -1, "file descriptor `N` to read the key from (with --key descriptor)")
	cmd.Flags().StringVar(&level, "log-level", "info", "`LEVEL`: debug, info, warn or error")
	cmd.AddCommand(a.stopCommand())
	return cmd
}

func (a *app) logger(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usagef("--log-level %q: debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	if a.json {
		return slog.New(slog.NewJSONHandler(a.errs, opts)), nil
	}
	return slog.New(slog.NewTextHandler(a.errs, opts)), nil
}

// bundledPlugins finds the installation's plugins: beside the program in a
// build, below lib in an installation.
func bundledPlugins() (string, error) {
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err != nil {
		return "", fmt.Errorf("find the installation: %w", err)
	}
	folder := filepath.Dir(program)
	beside := filepath.Join(folder, "plugins")
	for _, p := range []string{beside, filepath.Join(folder, "..", "lib", "parley", "plugins")} {
		if info, err := os.Stat(p); err == nil && info.IsDir() {
			return filepath.Clean(p), nil
		}
	}
	return beside, nil
}

func (a *app) stopCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "stop",
		Short: "End the core that runs",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connectRunning(cmd.Context())
			if errors.Is(err, client.ErrNotRunning) {
				return a.done(map[string]any{"running": false}, "Parley does not run.")
			}
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }()
			if _, err := c.Shutdown(cmd.Context(), &controlpb.ShutdownRequest{}); err != nil {
				return err
			}
			if err := a.awaitEnd(cmd.Context()); err != nil {
				return err
			}
			return a.done(map[string]any{"running": false}, "Parley has ended.")
		},
	}
}

// awaitEnd waits until no core of the profile runs, and its files are closed.
func (a *app) awaitEnd(ctx context.Context) error {
	f, err := client.FoldersOf(a.profile)
	if err != nil {
		return usageError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ended, err := client.Ended(ctx, f); ended || err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("parley did not end within 20 s; its log says why")
		}
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.done(map[string]any{"version": version.String()}, "parley %s", version.String())
		},
	}
}
