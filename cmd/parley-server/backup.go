package main

import (
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/server/admin"
	"github.com/parley-chat/parley/server/backup"
)

func (a *app) backupCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Write all that is kept into one file, while the server runs or not", Args: args(1),
		Long: "Write all that is kept into one file, while the server runs or not.\n\nThe file has the hashes of passwords and the server's " +
			"own TLS key in it: keep it as safe as the server. The TLS files that --tls-cert and --tls-key name are not in it, nor is the " +
			"configuration.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Lstat(args[0]); err == nil && !force {
				return usagef("%s is there already; say --force to replace it", args[0])
			}
			return a.administer(cmd.Context(), func(to admin.Admin) error {
				_, end, err := backup.WriteFile(args[0], func(w io.Writer) error { return to.Backup(cmd.Context(), w) })
				if err != nil {
					return err
				}
				return a.show(map[string]any{"file": args[0], "records": end.Records}, "%d records are in %s.\n", end.Records, args[0])
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace the file")
	return cmd
}

func (a *app) restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use: "restore FILE", Short: "Make an empty data folder of a backup", Args: args(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			folder, err := a.folder()
			if err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(a.errs, &slog.HandlerOptions{Level: slog.LevelWarn}))
			header, end, err := backup.Restore(cmd.Context(), args[0], folder, log)
			if err != nil {
				return err
			}
			return a.show(map[string]any{"folder": folder, "records": end.Records, "made": header.Made},
				"%d records of %s are in %s.\n", end.Records, header.Made.Format(dateFormat), folder)
		},
	}
}
