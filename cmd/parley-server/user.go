package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/parley-chat/parley/server/admin"
)

const dateFormat = "2006-01-02 15:04"

// administer does something with the directory, whether the server runs or not.
func (a *app) administer(ctx context.Context, do func(admin.Admin) error) error {
	folder, err := a.folder()
	if err != nil {
		return err
	}
	// What a stopped server's records say of themselves is of use only if wrong.
	log := slog.New(slog.NewTextHandler(a.errs, &slog.HandlerOptions{Level: slog.LevelWarn}))
	to, closeAdmin, err := admin.Open(ctx, folder, log)
	if err != nil {
		return err
	}
	defer closeAdmin()
	return do(to)
}

func (a *app) userCommand() *cobra.Command {
	return group("user", "Administer accounts",
		a.userAddCommand(), a.userListCommand(), a.userPasswdCommand(),
		a.userDisabledCommand("disable", "Let nobody use an account, and end its session", true),
		a.userDisabledCommand("enable", "Let an account be used again", false), a.userRemoveCommand())
}

func (a *app) userAddCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "add USER", Short: "Make an account", Args: args(1),
		Long: "Make an account. The password is asked for, or read from standard input; a device logs in to the account later.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.administer(cmd.Context(), func(to admin.Admin) error {
				pass, err := a.askPassword()
				if err != nil {
					return err
				}
				if err := to.AddUser(cmd.Context(), admin.AddUser{User: args[0], Name: name, Password: pass}); err != nil {
					return err
				}
				return a.show(map[string]string{"user": args[0]}, "Account %s is made.\n", args[0])
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "display name (default the user name)")
	return cmd
}

func (a *app) userListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List accounts", Args: args(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.administer(cmd.Context(), func(to admin.Admin) error {
				users, err := to.Users(cmd.Context())
				if err != nil {
					return err
				}
				return list(a, users, "USER\tSTATE\tDEVICES\tMADE\tNAME", func(u admin.User) string {
					state := "offline"
					if u.Online {
						state = "online"
					}
					if u.Disabled {
						state = "disabled"
					}
					return fmt.Sprintf("%s\t%s\t%d\t%s\t%s", u.User, state, u.Devices, u.Created.Format(dateFormat), u.Name)
				})
			})
		},
	}
}

// list prints a table for people, or an object a line for programs.
func list[T any](a *app, rows []T, head string, line func(T) string) error {
	if a.json {
		for _, row := range rows {
			if err := a.show(row, ""); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, head) // Flush tells errors
	for _, row := range rows {
		_, _ = fmt.Fprintln(w, line(row))
	}
	return w.Flush()
}

func (a *app) userPasswdCommand() *cobra.Command {
	var logOut bool
	cmd := &cobra.Command{
		Use: "passwd USER", Short: "Set an account's password", Args: args(1),
		Long: "Set an account's password. It is asked for, or read from standard input.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.administer(cmd.Context(), func(to admin.Admin) error {
				pass, err := a.askPassword()
				if err != nil {
					return err
				}
				if err := to.SetPassword(cmd.Context(), admin.SetPassword{User: args[0], Password: pass, LogOut: logOut}); err != nil {
					return err
				}
				return a.show(map[string]string{"user": args[0]}, "The password of %s is set.\n", args[0])
			})
		},
	}
	cmd.Flags().BoolVar(&logOut, "log-out", false, "log the account's device out, which needs the new password then")
	return cmd
}

func (a *app) userDisabledCommand(use, short string, disabled bool) *cobra.Command {
	return &cobra.Command{
		Use: use + " USER", Short: short, Args: args(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.administer(cmd.Context(), func(to admin.Admin) error {
				if err := to.SetDisabled(cmd.Context(), admin.SetDisabled{User: args[0], Disabled: disabled}); err != nil {
					return err
				}
				return a.show(map[string]any{"user": args[0], "disabled": disabled}, "Account %s is %sd.\n", args[0], use)
			})
		},
	}
}

func (a *app) userRemoveCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "remove USER", Short: "Remove an account and all that is kept of it", Args: args(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return usagef("removing %s cannot be undone, and its name is free then; say --yes if you mean it, or disable the account", args[0])
			}
			return a.administer(cmd.Context(), func(to admin.Admin) error {
				if err := to.RemoveUser(cmd.Context(), args[0]); err != nil {
					return err
				}
				return a.show(map[string]string{"user": args[0]}, "Account %s is removed.\n", args[0])
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "remove it")
	return cmd
}

// maxPassword bounds what is read; what is too long is refused later.
const maxPassword = 1 << 10

// askPassword asks for a password twice, or reads a line from what is no
// terminal.
func (a *app) askPassword() (string, error) {
	if !term.IsTerminal(int(a.in.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(a.in, maxPassword)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", usagef("no password came on standard input")
		}
		return line, nil
	}
	var typed [2]string
	for i, prompt := range []string{"Password: ", "Again: "} {
		_, _ = fmt.Fprint(a.errs, prompt)
		b, err := term.ReadPassword(int(a.in.Fd()))
		_, _ = fmt.Fprintln(a.errs)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		typed[i] = string(b)
	}
	if typed[0] != typed[1] {
		return "", errors.New("the two passwords differ; try again")
	}
	return typed[0], nil
}
