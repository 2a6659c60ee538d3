// Command parley-server is the directory: who people are and where they are.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/server"
)

// version is set by the linker.
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "parley-server:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "parley-server",
		Short:         "The directory of Parley: who people are and where they are",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(serveCommand(), versionCommand())
	return cmd
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which version this is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "parley-server", versionText())
			return err
		},
	}
}

func versionText() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version
	}
	return version + " " + info.GoVersion
}

func serveCommand() *cobra.Command {
	var cfg server.Config
	var level slog.LevelVar
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the directory until interrupted",
		Long: "Serve the directory until interrupted.\n\nWithout --tls-cert and --tls-key the server makes its own certificate; " +
			"give its fingerprint, printed at start, to the people who log in, so that they can compare it.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: &level}))
			s, err := server.New(cfg)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "listening on %s\nfingerprint %s\n", s.Addr(), s.Fingerprint()); err != nil {
				s.Close()
				return err
			}
			return s.Serve(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&cfg.Listen, "listen", fmt.Sprintf(":%d", server.DefaultPort), "address and port to listen on")
	flags.StringVar(&cfg.Data, "data", defaultData(), "folder for accounts and all else that is kept")
	flags.StringVar(&cfg.CertFile, "tls-cert", "", "PEM file with the TLS certificate and its chain")
	flags.StringVar(&cfg.KeyFile, "tls-key", "", "PEM file with the certificate's key")
	flags.TextVar(&level, "log-level", &slog.LevelVar{}, "debug, info, warn or error")
	return cmd
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
