package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/server/admin"
)

func (a *app) inviteCommand() *cobra.Command {
	return group("invite", "Administer invites, for directories that ask for one",
		a.inviteCreateCommand(), a.inviteListCommand(), a.inviteRevokeCommand())
}

func (a *app) inviteCreateCommand() *cobra.Command {
	var create admin.CreateInvite
	cmd := &cobra.Command{
		Use: "create", Short: "Make an invite; its code is shown this once", Args: args(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.administer(cmd.Context(), func(to admin.Admin) error {
				made, err := to.CreateInvite(cmd.Context(), create)
				if err != nil {
					return err
				}
				return a.show(made, "%s\n", made.Code)
			})
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&create.Uses, "uses", 1, "how many accounts it is for")
	flags.DurationVar(&create.Expires, "expires", 7*24*time.Hour, "how long it is good for; 0 for ever")
	flags.StringVar(&create.Note, "note", "", "note to yourself, such as whom it is for")
	return cmd
}

func (a *app) inviteListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List invites", Args: args(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.administer(cmd.Context(), func(to admin.Admin) error {
				invites, err := to.Invites(cmd.Context())
				if err != nil {
					return err
				}
				return list(a, invites, "ID\tUSED\tSTATE\tEXPIRES\tNOTE", func(i admin.Invite) string {
					state, expires := "good", "never"
					if i.Expires != nil {
						expires = i.Expires.Format(dateFormat)
					}
					if !i.Usable {
						state = "spent"
					}
					return fmt.Sprintf("%s\t%d of %d\t%s\t%s\t%s", i.ID, i.Used, i.Uses, state, expires, i.Note)
				})
			})
		},
	}
}

func (a *app) inviteRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Revoke an invite, by its id or its code", Args: args(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.administer(cmd.Context(), func(to admin.Admin) error {
				if err := to.RevokeInvite(cmd.Context(), args[0]); err != nil {
					return err
				}
				return a.show(map[string]bool{"revoked": true}, "The invite is revoked.\n")
			})
		},
	}
}
