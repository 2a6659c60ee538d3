package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func (a *app) chatCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "chat WHO",
		Short: "Chat in the terminal",
		Args:  needArgs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				chat, err := resolveChat(ctx, c, args[0])
				if err != nil {
					return err
				}
				conversation := &conversation{app: a, client: c, chat: chat, who: args[0]}
				return conversation.run(ctx)
			})
		},
	}
}

// conversation is one chat on a terminal, or in a pipe.
type conversation struct {
	app    *app
	client *client.Client
	chat   string
	who    string

	screen   io.Writer
	readLine func() (string, error)
}

func (v *conversation) run(ctx context.Context) error {
	restore, err := v.openScreen()
	if err != nil {
		return err
	}
	defer restore()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	events, err := v.client.Watch(ctx, &controlpb.WatchRequest{})
	if err != nil {
		return err
	}
	if _, err := events.Recv(); err != nil {
		return err
	}
	page, err := v.client.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: v.chat, Limit: 20})
	if err != nil {
		return err
	}
	for _, m := range page.GetMessages() {
		v.show(m)
	}
	v.markRead(ctx)
	v.say("Chat with %s. Enter sends, /help lists commands, /quit or Ctrl+D ends.", v.who)

	done := make(chan error, 2)
	go func() { done <- v.follow(ctx, events) }()
	go func() { done <- v.input(ctx) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = nil
	}
	if errors.Is(err, io.EOF) || ctx.Err() != nil {
		return nil
	}
	return err
}

// openScreen makes a line editor on a terminal, plain lines elsewhere.
func (v *conversation) openScreen() (restore func(), err error) {
	in, isFile := v.app.in.(*os.File)
	if isFile && term.IsTerminal(int(in.Fd())) && !v.app.json {
		state, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return nil, fmt.Errorf("set up the terminal: %w", err)
		}
		t := term.NewTerminal(struct {
			io.Reader
			io.Writer
		}{in, v.app.out}, "> ")
		v.screen, v.readLine = t, t.ReadLine
		return func() { _ = term.Restore(int(in.Fd()), state) }, nil
	}
	scanner := bufio.NewScanner(v.app.in)
	scanner.Buffer(nil, maxText+1)
	v.screen = v.app.out
	v.readLine = func() (string, error) {
		if scanner.Scan() {
			return scanner.Text(), nil
		}
		if err := scanner.Err(); err != nil {
			return "", fmt.Errorf("read line: %w", err)
		}
		return "", io.EOF
	}
	return func() {}, nil
}

func (v *conversation) say(format string, args ...any) {
	if !v.app.json {
		_, _ = fmt.Fprintf(v.screen, format+"\n", args...)
	}
}

func (v *conversation) show(m *controlpb.Message) {
	if v.app.json {
		_ = v.app.object(messageJSON(m))
		return
	}
	_, _ = fmt.Fprintln(v.screen, messageLine(m))
}

// markRead is a courtesy: a failure shows elsewhere.
func (v *conversation) markRead(ctx context.Context) {
	_, _ = v.client.MarkRead(ctx, &controlpb.MarkReadRequest{Chat: v.chat})
}

// follow shows what comes.
func (v *conversation) follow(ctx context.Context, events controlpb.Control_WatchClient) error {
	for {
		e, err := events.Recv()
		if err != nil {
			return err
		}
		switch {
		case e.GetMessageAdded().GetChat() == v.chat && e.GetMessageAdded() != nil:
			m := e.GetMessageAdded()
			if !m.GetOwn() || v.app.json {
				v.show(m)
			}
			v.markRead(ctx)
		case e.GetMessageChanged().GetChat() == v.chat && e.GetMessageChanged() != nil:
			m := e.GetMessageChanged()
			if m.GetDelivery() == controlpb.Delivery_DELIVERY_FAILED || m.GetEdited() || m.GetDeleted() || v.app.json {
				v.show(m)
			}
		case e.GetNotice() != nil:
			v.say("! %s", client.PrintableLine(e.GetNotice().GetText()))
		}
	}
}

// input sends what is typed until it ends.
func (v *conversation) input(ctx context.Context) error {
	for {
		line, err := v.readLine()
		if err != nil {
			return err
		}
		switch {
		case strings.TrimSpace(line) == "":
		case line == "/quit":
			return io.EOF
		case line == "/help":
			v.help(ctx)
		case strings.HasPrefix(line, "/") && !strings.HasPrefix(line, "//"):
			err = v.command(ctx, line[1:])
		default:
			_, err = v.client.InvokeAction(ctx, "text", &pluginpb.InvokeRequest{
				Invocation: client.NewInvocation(), Action: "send", Chat: v.chat, Text: strings.TrimPrefix(line, "/"),
			}, nil)
		}
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			_, _ = fmt.Fprintln(v.app.errs, "parley: "+sentence(err)+"\r")
		}
	}
}

// command runs a plugin's slash command.
func (v *conversation) command(ctx context.Context, line string) error {
	name, rest, _ := strings.Cut(line, " ")
	commands, err := v.commands(ctx)
	if err != nil {
		return err
	}
	for _, c := range commands {
		if c.action.GetName() == name {
			_, err := v.client.InvokeAction(ctx, c.plugin, &pluginpb.InvokeRequest{
				Invocation: client.NewInvocation(), Action: name, Chat: v.chat, Text: rest,
			}, nil)
			return err
		}
	}
	return fmt.Errorf("no plugin has the command /%s; /help lists them; a text that begins with \"/\" is written //%s", name, line)
}

func (v *conversation) help(ctx context.Context) {
	v.say("/quit  end")
	commands, err := v.commands(ctx)
	if err != nil {
		v.say("! %s", sentence(err))
	}
	for _, c := range commands {
		v.say("/%s  %s (%s)", c.action.GetName(), c.action.GetLabel(), c.plugin)
	}
}

type slashCommand struct {
	plugin string
	action *pluginpb.Action
}

func (v *conversation) commands(ctx context.Context) ([]slashCommand, error) {
	resp, err := v.client.ListPlugins(ctx, &controlpb.ListPluginsRequest{})
	if err != nil {
		return nil, err
	}
	var commands []slashCommand
	for _, p := range resp.GetPlugins() {
		for _, action := range p.GetManifest().GetActions() {
			usable := p.GetState() >= controlpb.PluginState_PLUGIN_STATE_IDLE && p.GetState() <= controlpb.PluginState_PLUGIN_STATE_BACKOFF
			if usable && slices.Contains(action.GetPlaces(), pluginpb.Place_PLACE_SLASH_COMMAND) {
				commands = append(commands, slashCommand{p.GetName(), action})
			}
		}
	}
	return commands, nil
}
