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

// maxLinks is how many links are taken at once.
const maxLinks = 16

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
		Use:   "parley-gtk [LINK...]",
		Short: "Parley's window",
		Long: `Parley's window.

It is there once: a further start shows the window that is open, on request that
of another profile. A LINK such as parley:bob?directory=directory.example.org asks
whether to add somebody as a contact.`,
		Args:          cobra.MaximumNArgs(maxLinks),
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, links []string) error {
			cfg.Start.Links = links
			return app.Run(c.Context(), cfg)
		},
	}
	// What the desktop gives to programs that it starts is for this one alone.
	for _, name := range []string{"XDG_ACTIVATION_TOKEN", "DESKTOP_STARTUP_ID"} {
		if token := os.Getenv(name); token != "" && cfg.Start.Token == "" {
			cfg.Start.Token = token
		}
	}
	cmd.Flags().StringVar(&cfg.Start.Profile, "profile", os.Getenv("PARLEY_PROFILE"), "`NAME` of the profile whose window is opened (default those that were open last)")
	cmd.Flags().BoolVar(&cfg.Start.Background, "background", false, "start without a window, for notifications")
	return cmd
}
