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
	"golang.org/x/term"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
)

// app is what all commands share.
type app struct {
	in   io.Reader
	out  io.Writer
	errs io.Writer

	profile string
	json    bool
}

const guide = `Private chat without a cloud.

First steps:
  parley login --register alice@directory.example.org   make an account
  parley contacts add bob "Hi, it's Alice"              ask somebody
  parley contacts accept carol                          say yes to somebody
  parley chat bob                                       chat here
  parley send bob "See you at 8"                        send one message
  parley doctor bob                                     why does it not work?

No directory yet? Start one: parley-server serve
To see it all at work on this machine: parley demo

All commands: parley help`

// rootCommand is the whole command tree.
func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "parley",
		Short:         "Private chat without a cloud",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE: func(*cobra.Command, []string) error {
			a.println(guide)
			return nil
		},
	}
	root.PersistentFlags().StringVar(&a.profile, "profile", os.Getenv("PARLEY_PROFILE"), "use this profile: its own account, core and folders")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print one JSON object a line")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see: %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(
		a.daemonCommand(), a.loginCommand(), a.logoutCommand(), a.unlockCommand(), a.statusCommand(),
		a.accountCommand(), a.contactsCommand(), a.chatsCommand(), a.sendCommand(), a.chatCommand(), a.historyCommand(),
		a.searchCommand(), a.pluginsCommand(), a.settingsCommand(), a.doctorCommand(), a.demoCommand(), a.versionCommand(),
	)
	return root
}

// usageError is a call that cannot be meant so: exit status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%q is not a command of %s; see: %s --help", args[0], cmd.CommandPath(), cmd.CommandPath())
	}
	return nil
}

// needArgs asks for at least least and at most most arguments (-1: any number).
func needArgs(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return usagef("usage: %s", cmd.UseLine())
		}
		return nil
	}
}

// sentence is what a person reads of an error.
func sentence(err error) string {
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	text := client.Message(err)
	switch {
	case errors.Is(err, client.ErrNotRunning):
		return text + "; start it with: parley daemon"
	case client.Reason(err) == "NO_ACCOUNT":
		return "nobody is logged in; log in with: parley login USER@DIRECTORY (or make an account: parley login --register USER@DIRECTORY)"
	case client.Reason(err) == "LOCKED":
		return text + "; unlock it with: parley unlock"
	}
	return text
}

// connect connects to the profile's core and starts one when none runs.
func (a *app) connect(ctx context.Context) (*client.Client, error) {
	folders, err := client.FoldersOf(a.profile)
	if err != nil {
		return nil, usageError{err}
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the parley program: %w", err)
	}
	return client.Start(ctx, folders, program)
}

// connectRunning connects to the profile's core if one runs.
func (a *app) connectRunning(ctx context.Context) (*client.Client, error) {
	folders, err := client.FoldersOf(a.profile)
	if err != nil {
		return nil, usageError{err}
	}
	return client.Connect(ctx, folders)
}

// withCore runs f with a connection to the core.
func (a *app) withCore(cmd *cobra.Command, f func(ctx context.Context, c *client.Client) error) error {
	ctx := cmd.Context()
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return f(ctx, c)
}

// resolveChat turns what a person wrote, a user id or a chat id, into a chat
// id.
func resolveChat(ctx context.Context, c *client.Client, who string) (string, error) {
	if chat, err := packet.ParseChatID(who); err == nil && chat.Kind() == packet.Direct {
		return who, nil
	}
	status, err := c.GetStatus(ctx, &controlpb.GetStatusRequest{})
	if err != nil {
		return "", err
	}
	user, err := packet.ParseUserID(who)
	if err != nil {
		return "", usagef("%q is neither a user id nor a chat id", who)
	}
	chats, err := c.ListChats(ctx, &controlpb.ListChatsRequest{})
	if err != nil {
		return "", err
	}
	self := packet.UserID(status.GetUser())
	for _, chat := range chats.GetChats() {
		if chat.GetId() == who || self != user && chat.GetId() == string(packet.DirectChat(self, user)) {
			return chat.GetId(), nil
		}
	}
	return "", fmt.Errorf("there is no chat with %s; ask first: parley contacts add %s", who, who)
}

// secret reads a password: from a terminal without showing it, else one line
// of input.
func (a *app) secret(prompt string) (string, error) {
	if f, ok := a.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		_, _ = fmt.Fprint(a.errs, prompt+": ")
		b, err := term.ReadPassword(int(f.Fd()))
		_, _ = fmt.Fprintln(a.errs)
		if err != nil {
			return "", fmt.Errorf("read %s: %w", strings.ToLower(prompt), err)
		}
		return string(b), nil
	}
	line, err := readLine(a.in)
	if err != nil {
		return "", fmt.Errorf("read %s from standard input: %w", strings.ToLower(prompt), err)
	}
	return line, nil
}

// confirm asks a yes-or-no question on a terminal; elsewhere the answer is no.
func (a *app) confirm(question string) bool {
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false
	}
	_, _ = fmt.Fprint(a.errs, question+" [y/N] ")
	line, err := readLine(a.in)
	return err == nil && strings.EqualFold(strings.TrimSpace(line), "y")
}

// readLine reads one line byte by byte, so that nothing after it is taken.
func readLine(r io.Reader) (string, error) {
	var line []byte
	b := make([]byte, 1)
	for len(line) < 4096 {
		n, err := r.Read(b)
		if n == 1 {
			if b[0] == '\n' {
				return strings.TrimSuffix(string(line), "\r"), nil
			}
			line = append(line, b[0])
			continue
		}
		if errors.Is(err, io.EOF) && len(line) > 0 {
			return string(line), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", errors.New("line is too long")
}

// shortTime is a moment as a list shows it: the time today, else the day.
func shortTime(t, now time.Time) string {
	switch {
	case t.Year() == now.Year() && t.YearDay() == now.YearDay():
		return t.Format("15:04")
	case t.Year() == now.Year():
		return t.Format("2 Jan")
	default:
		return t.Format("2006-01-02")
	}
}
