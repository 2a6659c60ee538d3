package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// slashCommand is a plugin's action that is typed as "/name".
type slashCommand struct {
	plugin string
	action *pluginpb.Action
}

// slashCommands are those of plugins that can be used now.
func slashCommands(ctx context.Context, c *client.Client) ([]slashCommand, error) {
	resp, err := c.ListPlugins(ctx, &controlpb.ListPluginsRequest{})
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

// findSlash finds the command of a line that begins with its name, and gives
// what stands behind it.
func findSlash(ctx context.Context, c *client.Client, line string) (command slashCommand, rest string, err error) {
	name, rest, _ := strings.Cut(line, " ")
	commands, err := slashCommands(ctx, c)
	if err != nil {
		return slashCommand{}, "", err
	}
	for _, command := range commands {
		if command.action.GetName() == name {
			return command, rest, nil
		}
	}
	return slashCommand{}, "", fmt.Errorf("no plugin has the command /%.40s; parley plugins lists plugins, /help in a chat their commands; a text that begins with \"/\" is written //%.40s", name, line)
}

// asTyped makes of what was typed, and begins with "/", what is meant: a plugin's
// command, or with "//" a text.
func asTyped(ctx context.Context, c *client.Client, req *pluginpb.InvokeRequest) (plugin string, err error) {
	req.Text = req.GetText()[1:]
	if strings.HasPrefix(req.GetText(), "/") {
		return textPlugin, nil
	}
	command, rest, err := findSlash(ctx, c, req.GetText())
	req.Action, req.Text = command.action.GetName(), rest
	return command.plugin, err
}

func (a *app) pressCommand() *cobra.Command {
	var on string
	cmd := &cobra.Command{
		Use:   "press WHO BUTTON...",
		Short: "Press a button of a message, such as an answer to a poll",
		Long: `Press a button of a message, such as an answer to a poll.

BUTTON is what stands on it, or its number from the left. Without --message it is
that of the newest message that has such a button.`,
		Args: needArgs(2, -1),

		ValidArgsFunction: a.chats(),
		RunE: func(cmd *cobra.Command, args []string) error {
			var message []byte
			if on != "" {
				var err error
				if message, err = parseID(on); err != nil {
					return err
				}
			}
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				chat, err := resolveChat(ctx, c, args[0])
				if err != nil {
					return err
				}
				label := strings.Join(args[1:], " ")
				if err := pressButton(ctx, c, chat, message, label); err != nil {
					return err
				}
				return a.done(map[string]any{"pressed": label}, "Done.")
			})
		},
	}
	cmd.Flags().StringVar(&on, "message", "", "id of the message; parley history --ids shows them")
	return cmd
}

// pressButton presses a button: of the given message, or of the newest that has it.
func pressButton(ctx context.Context, c *client.Client, chat string, message []byte, label string) error {
	req := &controlpb.ListMessagesRequest{Chat: chat, Limit: 500}
	if message != nil {
		req = &controlpb.ListMessagesRequest{Chat: chat, Ids: [][]byte{message}}
	}
	resp, err := c.ListMessages(ctx, req)
	if err != nil {
		return err
	}
	var others []string
	for _, m := range slices.Backward(resp.GetMessages()) {
		b := findButton(m.GetCard(), label)
		if b == nil {
			for _, other := range m.GetCard().GetButtons() {
				others = append(others, client.PrintableLine(other.GetLabel()))
			}
			continue
		}
		_, err := c.InvokeAction(ctx, m.GetPlugin(), &pluginpb.InvokeRequest{
			Invocation: client.NewInvocation(), Action: b.GetAction(), Chat: chat, Message: m.GetId(), Args: b.GetArgs(),
		}, nil)
		return err
	}
	if len(others) == 0 {
		return fmt.Errorf("there is no button %q: no message here has any; parley history shows them in [brackets]", label)
	}
	return fmt.Errorf("there is no button %q; there are: %s", label, cut(strings.Join(others, ", "), 200))
}

// findButton finds a card's button by its label or its number; nil when there is
// none.
func findButton(card *pluginpb.Card, label string) *pluginpb.Button {
	buttons := card.GetButtons()
	for _, b := range buttons {
		if strings.EqualFold(b.GetLabel(), strings.TrimSpace(label)) {
			return b
		}
	}
	if n, err := strconv.Atoi(strings.TrimSpace(label)); err == nil && n >= 1 && n <= len(buttons) {
		return buttons[n-1]
	}
	return nil
}
