// Command parley-gtk is Parley's window.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/internal/version"
	"github.com/parley-chat/parley/ui-gtk/app"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := command().ExecuteContext(ctx); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "parley-gtk:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	cfg := app.Config{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	cmd := &cobra.Command{
		Use:           "parley-gtk",
		Short:         "Parley's window",
		Args:          cobra.NoArgs,
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(c *cobra.Command, _ []string) error { return app.Run(c.Context(), cfg) },
	}
	cmd.Flags().StringVar(&cfg.Profile, "profile", os.Getenv("PARLEY_PROFILE"), "`NAME` of the profile whose window is opened")
	return cmd
}
