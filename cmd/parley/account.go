package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
)

func (a *app) loginCommand() *cobra.Command {
	req := &controlpb.LogInRequest{}
	var protect bool
	var old net2019Flags
	cmd := &cobra.Command{
		Use:   "login USER@DIRECTORY[:PORT] | login --net2019 HOST[:PORT]|native",
		Short: "Log in to a directory, or make an account there (--register)",
		Long: `Log in to a directory, or make an account there (--register).

The password is asked for, or read from standard input when that is no
terminal. The directory's fingerprint is remembered at the first log-in; compare
it with the one its operator tells you, or give it with --pin.

With --net2019 who is logged in switches the protocol of 2019 on, to talk with
people who have the program of 2019. NOTHING IN IT IS ENCRYPTED, and nothing
proves who anybody is. HOST is a server of 2019, whose one password is asked for;
"native" is the directory that you are logged in to, if it serves the protocol.
It stays on until: parley logout --net2019`,
		Example: `  parley login alice@directory.example.org
  parley login --net2019 chat.example.org --id 2017000001
  parley login --net2019 native --id 2017000001`,
		Args: func(cmd *cobra.Command, args []string) error {
			if old.server != "" {
				return noArgs(cmd, args)
			}
			return needArgs(1, 1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := old.check(cmd); err != nil {
				return err
			}
			if old.server != "" {
				return a.withCore(cmd, func(ctx context.Context, c *client.Client) error { return a.logInNet2019(ctx, c, &old) })
			}
			user, directory, ok := strings.Cut(args[0], "@")
			if !ok || user == "" || directory == "" {
				return usagef("%q: say who and where, such as alice@directory.example.org", args[0])
			}
			req.User, req.Directory = user, directory
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error { return a.login(ctx, c, req, protect) })
		},
	}
	cmd.Flags().BoolVar(&req.Register, "register", false, "make the account first")
	cmd.Flags().StringVar(&req.DisplayName, "name", "", "`NAME` shown to others (with --register)")
	cmd.Flags().StringVar(&req.Invite, "invite", "", "`CODE` of an invitation, for directories that ask for one")
	cmd.Flags().BoolVar(&req.Replace, "replace", false, "log out the device that is logged in now")
	cmd.Flags().StringVar(&req.Pin, "pin", "", "`FINGERPRINT` that the directory must have")
	cmd.Flags().BoolVar(&req.ForgetPin, "no-pin", false, "forget the directory's fingerprint: an authority must vouch for it")
	cmd.MarkFlagsMutuallyExclusive("pin", "no-pin")
	cmd.Flags().BoolVar(&protect, "passphrase", false, "protect what is stored here with a passphrase, asked for after the password")
	old.add(cmd)
	return cmd
}

func (a *app) login(ctx context.Context, c *client.Client, req *controlpb.LogInRequest, protect bool) error {
	var err error
	read := a.secret
	if req.GetRegister() {
		read = a.newSecret
	}
	if req.Password, err = read(ctx, "Password"); err != nil {
		return err
	}
	if protect {
		if req.Passphrase, err = read(ctx, "Passphrase"); err != nil {
			return err
		}
	}
	resp, err := c.LogIn(ctx, req)
	if client.Reason(err) == "OTHER_DEVICE" && !req.GetReplace() &&
		a.confirm(ctx, "Another device is logged in as "+req.GetUser()+". Log it out and use this one?") {
		req.Replace = true
		resp, err = c.LogIn(ctx, req)
	}
	if err != nil {
		if client.Reason(err) == "OTHER_DEVICE" {
			return fmt.Errorf("%s; to log it out and use this one: parley login --replace %s@%s", client.Message(err), req.GetUser(), req.GetDirectory())
		}
		if status.Code(err) == codes.Unauthenticated && !req.GetRegister() {
			return fmt.Errorf("%s Try again; or make an account: parley login --register %s@%s", client.Message(err), req.GetUser(), req.GetDirectory())
		}
		return err
	}
	if !a.json && resp.GetPinnedNow() {
		a.printf("The directory's fingerprint is %s.\nIt is remembered from now on. Compare it with the one its operator tells you.\n", resp.GetFingerprint())
	}
	return a.done(map[string]any{"user": resp.GetUser(), "fingerprint": resp.GetFingerprint(), "pinned_now": resp.GetPinnedNow()},
		"Logged in as %s.", resp.GetUser())
}

func (a *app) logoutCommand() *cobra.Command {
	var old bool
	cmd := &cobra.Command{
		Use:   "logout",
		Short: "Log this device out; what is stored stays",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				if old {
					return a.logOutNet2019(ctx, c)
				}
				if _, err := c.LogOut(ctx, &controlpb.LogOutRequest{}); err != nil {
					return err
				}
				return a.done(map[string]any{"logged_out": true}, "Logged out. What is stored here stays; the same account finds it again.")
			})
		},
	}
	cmd.Flags().BoolVar(&old, "net2019", false, "only switch the protocol of 2019 off, and say farewell to its people")
	return cmd
}

func (a *app) unlockCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "unlock",
		Short: "Open what is stored here with its passphrase",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				// The key may be had by now without one, and nothing may be locked.
				_, err := c.Unlock(ctx, &controlpb.UnlockRequest{})
				if client.Reason(err) == "PASSPHRASE" {
					var passphrase string
					if passphrase, err = a.secret(ctx, "Passphrase"); err != nil {
						return err
					}
					_, err = c.Unlock(ctx, &controlpb.UnlockRequest{Passphrase: passphrase})
				}
				if err != nil {
					return err
				}
				return a.done(map[string]any{"unlocked": true}, "Unlocked.")
			})
		},
	}
}

func (a *app) accountCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "account", Short: "Change one's own name, picture or password, or delete the account", Args: noArgs, RunE: showHelp}
	cmd.AddCommand(
		&cobra.Command{
			Use: "name NAME", Short: "Set the name shown to others", Args: needArgs(1, 1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.setProfile(cmd, &controlpb.SetProfileRequest{SetDisplayName: true, DisplayName: args[0]})
			},
		},
		&cobra.Command{
			Use: "avatar FILE", Short: "Set the picture shown to others (PNG, JPEG or WebP, at most 64 KiB)", Args: needArgs(1, 1),
			RunE: func(cmd *cobra.Command, args []string) error {
				b, err := readPicture(args[0])
				if err != nil {
					return err
				}
				return a.setProfile(cmd, &controlpb.SetProfileRequest{SetAvatar: true, Avatar: b})
			},
		},
		&cobra.Command{
			Use: "password", Short: "Change the password at the directory", Args: noArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return a.withCore(cmd, a.changePassword)
			},
		},
		a.deleteAccountCommand(),
	)
	return cmd
}

// maxPicture is the size of a picture that others can be shown.
const maxPicture = 64 << 10

func readPicture(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxPicture+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxPicture {
		return nil, fmt.Errorf("%s has more than 64 KiB, too much for a picture: make it smaller", path)
	}
	return b, nil
}

func (a *app) setProfile(cmd *cobra.Command, req *controlpb.SetProfileRequest) error {
	return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
		if _, err := c.SetProfile(ctx, req); err != nil {
			return err
		}
		return a.done(map[string]any{"saved": true}, "Saved. Contacts see it when they are online.")
	})
}

func (a *app) changePassword(ctx context.Context, c *client.Client) error {
	oldPassword, err := a.secret(ctx, "Old password")
	if err != nil {
		return err
	}
	newPassword, err := a.newSecret(ctx, "New password")
	if err != nil {
		return err
	}
	if _, err := c.ChangePassword(ctx, &controlpb.ChangePasswordRequest{OldPassword: oldPassword, NewPassword: newPassword}); err != nil {
		return err
	}
	return a.done(map[string]any{"changed": true}, "Password changed.")
}

func (a *app) deleteAccountCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete", Short: "Delete the account at the directory, for good", Args: noArgs,
		Long: `Delete the account at the directory, for good.

The directory forgets who you are and whom you know, and anybody can have the
name. What is stored on this device stays, and what others have of you is theirs.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				s, err := c.GetStatus(ctx, &controlpb.GetStatusRequest{})
				if err != nil {
					return err
				}
				password := ""
				if s.GetState() == controlpb.AccountState_ACCOUNT_STATE_OPEN { // else the core says why not
					question := fmt.Sprintf("Delete the account %s at %s for good?", s.GetUser(), s.GetDirectory().GetAddress())
					if !yes && !a.confirm(ctx, question) {
						return usagef("deleting the account cannot be undone, and its name is free then; say --yes if you mean it")
					}
					if password, err = a.secret(ctx, "Password"); err != nil {
						return err
					}
				}
				if _, err := c.DeleteAccount(ctx, &controlpb.DeleteAccountRequest{Password: password}); err != nil {
					return err
				}
				return a.done(map[string]any{"deleted": s.GetUser()}, "The account %s is deleted. What is stored here stays.", s.GetUser())
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "delete it without asking")
	return cmd
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show whether parley runs, for whom, and its links",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connectRunning(cmd.Context())
			if errors.Is(err, client.ErrNotRunning) && a.json {
				return a.object(map[string]any{"running": false})
			}
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }()
			s, err := c.GetStatus(cmd.Context(), &controlpb.GetStatusRequest{})
			if err != nil {
				return err
			}
			if a.json {
				return a.object(statusJSON(s))
			}
			a.printStatus(s)
			return nil
		},
	}
}

type jsonStatus struct {
	Running     bool       `json:"running"`
	Version     string     `json:"version"`
	PID         int64      `json:"pid"`
	Profile     string     `json:"profile"`
	Account     string     `json:"account"`
	User        string     `json:"user,omitempty"`
	Device      string     `json:"device,omitempty"`
	KeyPlace    string     `json:"key_place,omitempty"`
	Directory   string     `json:"directory,omitempty"`
	Connected   bool       `json:"connected"`
	Fingerprint string     `json:"fingerprint,omitempty"`
	Error       string     `json:"error,omitempty"`
	Reason      string     `json:"reason,omitempty"` // of the error
	Note        string     `json:"note,omitempty"`
	Endpoints   []string   `json:"endpoints,omitempty"`
	Links       []jsonLink `json:"links,omitempty"`

	Net2019 *jsonNet2019 `json:"net2019,omitempty"`
}

type jsonLink struct {
	User      string  `json:"user"`
	Path      string  `json:"path"`
	Remote    string  `json:"remote"`
	RoundTrip float64 `json:"round_trip_ms"`
}

func statusJSON(s *controlpb.Status) jsonStatus {
	j := jsonStatus{
		Running: true, Version: s.GetVersion(), PID: s.GetProcessId(), Profile: s.GetProfile(), Account: accountWord(s.GetState()),
		User: s.GetUser(), Device: s.GetDevice(), KeyPlace: s.GetKeyPlace(), Directory: s.GetDirectory().GetAddress(),
		Connected: s.GetDirectory().GetConnected(), Fingerprint: s.GetDirectory().GetFingerprint(), Error: s.GetDirectory().GetError(),
		Reason:    s.GetDirectory().GetReason().GetReason(),
		Endpoints: s.GetEndpoints(), Note: s.GetStateText(), Net2019: net2019JSON(s.GetNet2019()),
	}
	for _, l := range s.GetLinks() {
		j.Links = append(j.Links, jsonLink{l.GetUser(), l.GetPath(), l.GetRemote(), float64(l.GetRoundTrip()) / 1000})
	}
	return j
}

func accountWord(s controlpb.AccountState) string {
	switch s {
	case controlpb.AccountState_ACCOUNT_STATE_OPEN:
		return "open"
	case controlpb.AccountState_ACCOUNT_STATE_LOCKED:
		return "locked"
	default:
		return "none"
	}
}

func (a *app) printStatus(s *controlpb.Status) {
	a.printf("Parley %s runs (process %d, profile %s).\n", s.GetVersion(), s.GetProcessId(), s.GetProfile())
	switch s.GetState() {
	case controlpb.AccountState_ACCOUNT_STATE_LOCKED:
		a.printf("The account%s cannot be opened: %s\n", strings.TrimRight(" "+s.GetUser(), " "), s.GetStateText())
		return
	case controlpb.AccountState_ACCOUNT_STATE_NONE, controlpb.AccountState_ACCOUNT_STATE_UNSPECIFIED:
		a.println("Nobody is logged in. Log in with: parley login USER@DIRECTORY")
		return
	case controlpb.AccountState_ACCOUNT_STATE_OPEN:
	}
	a.printf("Logged in as %s (%s), device %s.\n", s.GetUser(), client.PrintableLine(s.GetDisplayName()), s.GetDevice())
	d := s.GetDirectory()
	switch {
	case d.GetConnected():
		a.printf("Directory %s: connected, fingerprint %s.\n", d.GetAddress(), d.GetFingerprint())
	case d.GetError() == "":
		a.printf("Directory %s: connecting.\n", d.GetAddress())
	default:
		a.printf("Directory %s: not connected: %s\n", d.GetAddress(), client.PrintableLine(d.GetError()))
	}
	switch {
	case s.GetStateText() != "":
		a.println(s.GetStateText())
	case len(s.GetEndpoints()) == 0:
		a.println("No network address that others could reach.")
	default:
		a.printf("Listening on %s.\n", strings.Join(s.GetEndpoints(), ", "))
	}
	a.printNet2019(s.GetNet2019())
	if len(s.GetLinks()) == 0 {
		a.println("No links to contacts.")
	}
	for _, l := range s.GetLinks() {
		a.printf("Linked with %s (%s, %s, round trip %.1f ms, since %s).\n", l.GetUser(), l.GetPath(), l.GetRemote(),
			float64(l.GetRoundTrip())/1000, time.UnixMicro(l.GetSince()).Format(time.TimeOnly))
	}
}
