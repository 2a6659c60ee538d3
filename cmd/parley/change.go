package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func (a *app) editCommand() *cobra.Command {
	var message string
	var literal bool
	cmd := &cobra.Command{
		Use:   "edit WHO [TEXT...]",
		Short: "Change your latest message, or another of yours",
		Long: `Change your latest message to somebody, or another of yours, for everybody.

Without TEXT the new text is read from standard input.`,
		Example: `  parley edit bob "See you at 9"
  parley history --ids bob          # shows the ids for --message`,
		Args: needArgs(1, -1),

		ValidArgsFunction: a.chats(),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.messageBody(cmd.Context(), args[1:])
			if err != nil {
				return err
			}
			req := &pluginpb.InvokeRequest{Action: "edit", Text: text}
			return a.change(cmd, args[0], message, req, isTyped(args[1:]) && !literal, "Changed.")
		},
	}
	cmd.Flags().StringVar(&message, "message", "", "`ID` of the message")
	cmd.Flags().BoolVar(&literal, "literal", false, "leave :shortcodes: as they are")
	return cmd
}

func (a *app) deleteCommand() *cobra.Command {
	var message string
	var forMe bool
	cmd := &cobra.Command{
		Use:   "delete WHO",
		Short: "Delete a message of yours for everybody, or any just here",
		Example: `  parley history --ids bob
  parley delete bob --message 0199f3c2-7d5e-7c1a-9b0e-3f6a5d2c8e41`,
		Args: needArgs(1, 1),

		ValidArgsFunction: a.chats(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if message == "" {
				return usagef("say which message: parley delete %.64s --message ID; the ids: parley history --ids %.64s", args[0], args[0])
			}
			action, said := "delete", "Deleted for everybody."
			if forMe {
				action, said = "delete-for-me", "Deleted here."
			}
			return a.change(cmd, args[0], message, &pluginpb.InvokeRequest{Action: action}, false, said)
		},
	}
	cmd.Flags().StringVar(&message, "message", "", "`ID` of the message")
	cmd.Flags().BoolVar(&forMe, "for-me", false, "only here; others keep it")
	return cmd
}

// change runs an action on a message: the one with this id, or one's own latest.
// With emoji its text gets them for shortcodes.
func (a *app) change(cmd *cobra.Command, who, message string, req *pluginpb.InvokeRequest, emoji bool, said string) error {
	var id []byte
	var err error
	if message != "" {
		if id, err = parseID(message); err != nil {
			return err
		}
	}
	return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
		if req.Chat, err = resolveChat(ctx, c, who); err != nil {
			return err
		}
		m, err := pickFor(ctx, c, req.GetChat(), id, req.GetAction())
		if err != nil {
			return err
		}
		req.Invocation, req.Message = client.NewInvocation(), m.GetId()
		if emoji {
			req.Text = withEmoji(ctx, c, req.GetText())
		}
		if _, err := c.InvokeAction(ctx, m.GetPlugin(), req, nil); err != nil {
			return err
		}
		if m, err = oneMessage(ctx, c, req.GetChat(), m.GetId()); err != nil {
			return err
		}
		return a.done(messageJSON(m), "%s", said)
	})
}

// pickFor gives the message that edit, delete or delete-for-me is done to: the one
// with an id, or with none the latest own one that this can be done to.
func pickFor(ctx context.Context, c *client.Client, chat string, id []byte, action string) (*controlpb.Message, error) {
	resp, err := c.ListPlugins(ctx, &controlpb.ListPluginsRequest{})
	if err != nil {
		return nil, err
	}
	m, err := pick(ctx, c, chat, id, func(m *controlpb.Message) bool { return m.GetOwn() && can(resp.GetPlugins(), m, action) })
	if err == nil && !can(resp.GetPlugins(), m, action) {
		what := "this message, of the plugin " + m.GetPlugin() + ","
		if m.GetKind() == groupEvent {
			what = "what tells of a change of the group"
		}
		done := "deleted"
		if action == "edit" {
			done = "edited"
		}
		return nil, fmt.Errorf("%s cannot be %s", what, done)
	}
	return m, err
}

// can says whether a message's plugin has an action for messages of its kind.
func can(plugins []*controlpb.Plugin, m *controlpb.Message, action string) bool {
	for _, p := range plugins {
		if p.GetName() == m.GetPlugin() && p.GetManifest() != nil {
			return slices.ContainsFunc(p.GetManifest().GetActions(), func(a *pluginpb.Action) bool {
				return a.GetName() == action && (len(a.GetMessageKinds()) == 0 || slices.Contains(a.GetMessageKinds(), m.GetKind()))
			})
		}
	}
	return true // what it can is not known: the core says why it cannot be used
}

// recent is how far back the latest message is looked for.
const recent = 500

// toAnswer says whether a message is one to answer or to react to where none is
// named: what somebody else wrote or sent.
func toAnswer(m *controlpb.Message) bool { return !m.GetOwn() && m.GetKind() != groupEvent }

// pick gives the message with an id, or with none the latest that suits.
func pick(ctx context.Context, c *client.Client, chat string, id []byte, suits func(*controlpb.Message) bool) (*controlpb.Message, error) {
	if len(id) > 0 {
		return oneMessage(ctx, c, chat, id)
	}
	page, err := c.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: chat, Limit: recent})
	if err != nil {
		return nil, err
	}
	for i := len(page.GetMessages()) - 1; i >= 0; i-- {
		if m := page.GetMessages()[i]; suits(m) && !m.GetDeleted() {
			return m, nil
		}
	}
	if page.GetMore() {
		return nil, fmt.Errorf("none of the latest %d messages is the one: give its id; parley history --ids shows them", recent)
	}
	return nil, errors.New("there is no such message in this chat yet")
}
