package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
  parley file send bob holiday.jpg                      send a file, picture or folder
  parley group create "Tea" bob carol                   make a group
  parley doctor bob                                     why does it not work?

No directory yet? Start one: parley-server serve
To see it all at work on this machine: parley demo

All commands: parley help`

// rootCommand is the whole command tree.
func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "parley",
		Short: "Private chat without a cloud",
		Long: `Private chat without a cloud.

PARLEY_PROFILE stands for --profile, and PARLEY_HOME for the folder of all
profiles, which is otherwise below ~/.local/share/parley. Exit status: 0 when it
worked, 1 when it did not, 2 when the call itself cannot be meant so.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE: func(*cobra.Command, []string) error {
			a.println(guide)
			return nil
		},
		PersistentPreRunE: textOnly,
	}
	root.SetHelpCommand(helpCommand(root))
	root.PersistentFlags().StringVar(&a.profile, "profile", os.Getenv("PARLEY_PROFILE"), "use the profile `NAME`: its own account, core and folders")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print one JSON object a line")
	root.SetFlagErrorFunc(flagError)
	for _, group := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"chat", "Chat:", []*cobra.Command{
			a.chatCommand(), a.sendCommand(), a.fileCommand(), a.groupCommand(), a.pressCommand(), a.editCommand(), a.deleteCommand(), a.reactCommand(), a.emojiCommand(), a.chatsCommand(), a.historyCommand(), a.searchCommand(),
		}},
		{"people", "People:", []*cobra.Command{a.contactsCommand()}},
		{"account", "Account:", []*cobra.Command{
			a.loginCommand(), a.logoutCommand(), a.unlockCommand(), a.accountCommand(), a.settingsCommand(), a.pluginsCommand(),
		}},
		{"core", "The core on this machine:", []*cobra.Command{a.statusCommand(), a.doctorCommand(), a.daemonCommand(), a.demoCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.id, Title: group.title})
		for _, cmd := range group.commands {
			cmd.GroupID = group.id
		}
		root.AddCommand(group.commands...)
	}
	root.AddCommand(a.versionCommand())
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		completion.Short = "Print what makes a shell complete parley's commands"
		completion.Args, completion.RunE = noArgs, showHelp
	}
	return root
}

// flagError says what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		flag := invalid.GetFlag()
		return usagef("%.100q cannot be the value of --%s (%s); see: %s --help", invalid.GetValue(), flag.Name, flagType(flag), cmd.CommandPath())
	}
	return usageError{fmt.Errorf("%w; see: %s --help", err, cmd.CommandPath())}
}

// flagType says what a flag takes.
func flagType(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "uint32", "int":
		return "a number"
	case "duration":
		return "a time such as 500ms, 20s or 2m"
	case "bool":
		return "true or false"
	}
	return f.Value.Type()
}

// usageError is a call that cannot be meant so: exit status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 && !cmd.HasSubCommands() {
		return usagef("%s takes no arguments, and got %q; see: %s --help", cmd.CommandPath(), args, cmd.CommandPath())
	}
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

// helpCommand is cobra's, but a command that is not there is a usage error.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Explain a command",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("there is no command %q; all commands: parley help", strings.Join(args, " "))
			}
			return cmd.Help()
		},
	}
}

// textOnly refuses what is not UTF-8, but for the names of files: the core would
// refuse it without saying what.
func textOnly(cmd *cobra.Command, args []string) error {
	var bad error
	check := func(s string) {
		if !utf8.ValidString(s) {
			bad = usagef("%q is not text in UTF-8", s)
		}
	}
	if cmd.Name() != "avatar" && cmd.Name() != "daemon" && cmd.CommandPath() != "parley file send" {
		cmd.Flags().Visit(func(f *pflag.Flag) { check(f.Value.String()) })
		for _, arg := range args {
			check(arg)
		}
	}
	return bad
}

// sentence is what a person reads of an error. Parts of it may come from
// others.
func sentence(err error) string {
	code, text := status.Code(err), client.Printable(client.Message(err))
	switch {
	case errors.Is(err, context.Canceled) || code == codes.Canceled:
		return "interrupted"
	case errors.Is(err, client.ErrNotRunning):
		return text + "; start it with: parley daemon"
	case client.Reason(err) == "NO_ACCOUNT":
		return "nobody is logged in; log in with: parley login USER@DIRECTORY (or make an account: parley login --register USER@DIRECTORY)"
	case client.Reason(err) == "LOCKED" && !strings.Contains(text, "parley unlock"):
		return text + "; when that is mended, open it with: parley unlock"
	case client.Reason(err) == "NOT_JOINED":
		return strings.TrimSuffix(text, ".") + ", or decline it: parley group accept, parley group decline"
	case client.Reason(err) == "NO_PLUGIN":
		return text + "; which there are: parley plugins (Parley's own come with the installation: install it again, or say with PARLEY_PLUGINS where they are)"
	case client.Reason(err) == "PASSPHRASE" || client.Reason(err) == "WRONG_PASSPHRASE":
		return text + "; try again: parley unlock"
	case client.Info(err).GetReason() == "NOT_AUTHOR" && slices.Contains([]string{textPlugin, filePlugin}, client.Info(err).GetDomain()):
		return text + " with: parley delete --for-me"
	case code == codes.Unimplemented:
		return "the core that runs is of another version than this program: end it with: parley daemon stop; the next command starts the new one"
	case code == codes.Unavailable && lostCore(text):
		return "parley's core ended meanwhile; the next command starts it again (its log tells why it ended)"
	}
	return text
}

// lostCore says whether gRPC speaks, and not the core.
func lostCore(text string) bool {
	return strings.HasPrefix(text, "error reading from server") || strings.HasPrefix(text, "connection error") ||
		strings.HasPrefix(text, "the connection is draining") || text == "transport is closing" || text == "parley is stopping"
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

// resolveChat turns what a person wrote, a user id, a chat id or the name of a
// group, into a chat id.
func resolveChat(ctx context.Context, c *client.Client, who string) (string, error) {
	if chat, err := packet.ParseChatID(who); err == nil && chat.Kind() == packet.Direct {
		return who, nil
	}
	if of2019(who) {
		return net2019Chat(ctx, c, who)
	}
	s, err := c.GetStatus(ctx, &controlpb.GetStatusRequest{})
	if err != nil {
		return "", err
	}
	chats, err := c.ListChats(ctx, &controlpb.ListChatsRequest{})
	if err != nil {
		return "", err
	}
	self := packet.UserID(s.GetUser())
	user, notUser := packet.ParseUserID(who)
	for _, chat := range chats.GetChats() {
		if chat.GetId() == who || notUser == nil && self != user && chat.GetId() == string(packet.DirectChat(self, user)) {
			return chat.GetId(), nil
		}
	}
	group, err := groupNamed(chats.GetChats(), s.GetUser(), who)
	switch {
	case err != nil || group != "":
		return group, err
	case notUser != nil:
		return "", usagef("%.100q is neither a user id nor a chat id nor a group's name; who there is: parley contacts, parley chats", who)
	}
	return "", fmt.Errorf("there is no chat with %s; ask first: parley contacts add %s", who, who)
}

// terminal gives the terminal that input comes from; false when it is none.
func (a *app) terminal() (int, bool) {
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	return int(f.Fd()), true
}

// interruptible waits for a read that knows no context. The read is left
// behind when ctx ends: the process is about to end as well.
func interruptible[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := read()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// secret reads a password: from a terminal without showing it, else one line
// of input.
func (a *app) secret(ctx context.Context, prompt string) (string, error) {
	what := strings.ToLower(prompt)
	fd, ok := a.terminal()
	if !ok {
		line, err := interruptible(ctx, func() (string, error) { return readLine(a.in) })
		switch {
		case errors.Is(err, io.EOF):
			return "", fmt.Errorf("no %s came on standard input: write it there on a line, or run this on a terminal", what)
		case err != nil:
			return "", fmt.Errorf("read %s from standard input: %w", what, err)
		case !utf8.ValidString(line):
			return "", fmt.Errorf("the %s on standard input is not text in UTF-8", what)
		}
		return line, nil
	}
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	_, _ = fmt.Fprint(a.errs, prompt+": ")
	b, err := interruptible(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	_, _ = fmt.Fprintln(a.errs)
	if err != nil {
		_ = term.Restore(fd, before) // what is left behind does not show what is typed
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	if !utf8.Valid(b) {
		return "", fmt.Errorf("that %s is not text in UTF-8", what)
	}
	return string(b), nil
}

// newSecret reads a password that is made now; on a terminal twice, because
// nobody sees what is typed.
func (a *app) newSecret(ctx context.Context, prompt string) (string, error) {
	first, err := a.secret(ctx, prompt)
	if _, ok := a.terminal(); err != nil || !ok {
		return first, err
	}
	second, err := a.secret(ctx, "Again")
	if err == nil && first != second {
		err = errors.New("the two differ: nothing was changed, try again")
	}
	return first, err
}

// confirm asks a yes-or-no question on a terminal; elsewhere the answer is no.
func (a *app) confirm(ctx context.Context, question string) bool {
	if _, ok := a.terminal(); !ok {
		return false
	}
	_, _ = fmt.Fprint(a.errs, question+" [y/N] ")
	line, err := interruptible(ctx, func() (string, error) { return readLine(a.in) })
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
