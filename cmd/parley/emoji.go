package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const emojiPlugin = "emoji"

// emojiItem is an emoji as the plugin gives it; see Item of plugins/emoji.
type emojiItem struct {
	Emoji   string  `json:"emoji"`
	Name    string  `json:"name,omitempty"`
	Code    string  `json:"code,omitempty"`
	Tones   int     `json:"tones,omitempty"`
	Version float64 `json:"version,omitempty"`
}

// askEmoji asks the emoji plugin for something that is in no chat.
func askEmoji(ctx context.Context, c *client.Client, action, text string, args map[string]string, into any) error {
	result, err := c.InvokeAction(ctx, emojiPlugin, &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: action, Text: text, Args: args,
	}, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(result.GetResult(), into); err != nil {
		return fmt.Errorf("read what the plugin %s answered: %w", emojiPlugin, err)
	}
	return nil
}

func (a *app) emojiCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "emoji",
		Short: "Find emoji",
		Args:  noArgs,
		RunE:  showHelp,
	}
	cmd.AddCommand(a.emojiSearchCommand(), a.emojiRecentCommand(), a.emojiFavouriteCommand())
	return cmd
}

func (a *app) emojiSearchCommand() *cobra.Command {
	var limit uint32
	cmd := &cobra.Command{
		Use:   "search WORDS...",
		Short: "Find emoji by words, in English or Chinese",
		Example: `  parley emoji search party
  parley emoji search 握手
  parley settings --plugin emoji set skin-tone medium   # for those with hands`,
		Args: needArgs(1, -1),

		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				var found struct{ Items []emojiItem }
				err := askEmoji(ctx, c, "search", strings.Join(args, " "), map[string]string{"limit": strconv.FormatUint(uint64(limit), 10)}, &found)
				if err != nil {
					return err
				}
				if len(found.Items) == 0 && !a.json {
					a.println("Nothing found.")
				}
				return a.printEmoji(found.Items)
			})
		},
	}
	cmd.Flags().Uint32VarP(&limit, "number", "n", 20, "at most `N`; 200 is the most")
	return cmd
}

func (a *app) emojiRecentCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "recent",
		Short: "List the emoji used last",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				var found struct{ Recent []emojiItem }
				if err := askEmoji(ctx, c, "recents", "", nil, &found); err != nil {
					return err
				}
				if len(found.Recent) == 0 && !a.json {
					a.println("None yet. Write one as :tada:, or react to a message: parley react WHO :thumbsup:")
				}
				return a.printEmoji(found.Recent)
			})
		},
	}
}

func (a *app) emojiFavouriteCommand() *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use:   "favourite [EMOJI...]",
		Short: "Keep emoji among those offered first, or list these",
		Example: `  parley emoji favourite :tada: 🍵
  parley emoji favourite --remove 🍵
  parley emoji favourite            # lists them`,
		Args: needArgs(0, -1),

		ValidArgsFunction: a.completeEmojiFrom(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if remove && len(args) == 0 {
				return usagef("say which: parley emoji favourite --remove EMOJI...")
			}
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				for _, emoji := range args {
					err := askEmoji(ctx, c, "favourite", emoji, map[string]string{"on": strconv.FormatBool(!remove)}, &struct{}{})
					if err != nil {
						return err
					}
				}
				var found struct{ Favourites []emojiItem }
				if err := askEmoji(ctx, c, "recents", "", nil, &found); err != nil {
					return err
				}
				if len(found.Favourites) == 0 && !a.json {
					a.println("No favourites. Add one: parley emoji favourite :tada:")
				}
				return a.printEmoji(found.Favourites)
			})
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "keep them there no longer")
	return cmd
}

// completeEmojiFrom offers shortcodes for a command's arguments from the one with this
// index on.
func (a *app) completeEmojiFrom(first int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) < first {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.complete(func(ctx context.Context, c *client.Client) ([]string, error) {
			_, items := completeEmoji(ctx, c, typed)
			var codes []string
			for _, item := range items {
				codes = append(codes, cobra.CompletionWithDesc(":"+item.Code+":", item.Emoji))
			}
			return codes, nil
		})(cmd, nil, typed)
	}
}

func (a *app) printEmoji(items []emojiItem) error {
	var rows [][]string
	for _, i := range items {
		if a.json {
			if err := a.object(i); err != nil {
				return err
			}
			continue
		}
		// Emoji are wider than their characters count: one alone needs no column.
		rows = append(rows, []string{":" + i.Code + ":", i.Emoji + "  " + i.Name})
	}
	a.table(rows)
	return nil
}

func (a *app) reactCommand() *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use:   "react WHO [MESSAGE] EMOJI",
		Short: "React to a message with an emoji, or take that back",
		Long: `React to a message with an emoji, or take that back.

EMOJI is one, or its shortcode: parley emoji search finds them. Without MESSAGE,
an id, it is the latest message of somebody else.`,
		Example: `  parley react bob :thumbsup:
  parley react bob --remove 👍
  parley history --ids bob                            # shows the ids
  parley react bob 0199f3c2-7d5e-7c1a-9b0e-3f6a5d2c8e41 🎉`,
		Args: needArgs(2, 3),

		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return a.chats()(cmd, args, typed)
			}
			return a.completeEmojiFrom(1)(cmd, args, typed)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var id []byte
			if len(args) == 3 {
				var err error
				if id, err = parseID(args[1]); err != nil {
					return err
				}
			}
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				chat, err := resolveChat(ctx, c, args[0])
				if err != nil {
					return err
				}
				m, err := pick(ctx, c, chat, id, toAnswer)
				if err != nil {
					return err
				}
				m, emoji, err := react(ctx, c, m, args[len(args)-1], remove)
				if err != nil {
					return err
				}
				if remove {
					return a.done(messageJSON(m), "Took %s back.", emoji)
				}
				return a.done(messageJSON(m), "Reacted with %s.", emoji)
			})
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "take the reaction back")
	return cmd
}

// reactPatience is how long a reaction may take to show, which is a matter of
// milliseconds.
const reactPatience = 10 * time.Second

// react reacts to a message, or takes a reaction back, and waits until it is there
// or gone: the plugin does it in turn with what comes from others.
func react(ctx context.Context, c *client.Client, m *controlpb.Message, emoji string, remove bool) (*controlpb.Message, string, error) {
	me, err := c.GetStatus(ctx, &controlpb.GetStatusRequest{})
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, reactPatience)
	defer cancel()
	events, err := c.Watch(ctx, &controlpb.WatchRequest{})
	if err != nil {
		return nil, "", err
	}
	if _, err := events.Recv(); err != nil {
		return nil, "", err
	}
	action := "react"
	if remove {
		action = "unreact"
	}
	result, err := c.InvokeAction(ctx, emojiPlugin, &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: action, Chat: m.GetChat(), Message: m.GetId(), Text: emoji,
	}, nil)
	if err != nil {
		return nil, "", err
	}
	var answer struct{ Emoji string }
	if err := json.Unmarshal(result.GetResult(), &answer); err != nil {
		return nil, "", fmt.Errorf("read what the plugin %s answered: %w", emojiPlugin, err)
	}
	if remove && !hasReaction(m, me.GetUser(), answer.Emoji) {
		return nil, "", fmt.Errorf("there is no reaction %s of yours on this message", client.PrintableLine(answer.Emoji))
	}
	for {
		if m, err = oneMessage(ctx, c, m.GetChat(), m.GetId()); err != nil {
			return nil, "", err
		}
		if m.GetDeleted() {
			return nil, "", errors.New("the message was deleted just now")
		}
		if hasReaction(m, me.GetUser(), answer.Emoji) != remove {
			return m, answer.Emoji, nil
		}
		for changed := false; !changed; {
			e, err := events.Recv()
			if err != nil {
				return nil, "", fmt.Errorf("the reaction is sent, but does not show: %w", err)
			}
			changed = string(e.GetMessageChanged().GetId()) == string(m.GetId()) || e.GetResync() != nil
		}
	}
}

// reactionKind is what the kinds of annotations begin with that are reactions;
// the emoji follows.
const reactionKind = "reaction#"

func hasReaction(m *controlpb.Message, user, emoji string) bool {
	for _, an := range m.GetAnnotations() {
		if an.GetKind() == reactionKind+emoji && an.GetAuthor() == user {
			return true
		}
	}
	return false
}

// reaction is what some people reacted with.
type reaction struct {
	Emoji string   `json:"emoji"`
	Users []string `json:"users"`
}

// reactions gives the reactions to a message, by emoji.
func reactions(m *controlpb.Message) []reaction {
	var all []reaction
	for _, an := range m.GetAnnotations() { // sorted by kind and author
		emoji, ok := strings.CutPrefix(an.GetKind(), reactionKind)
		if !ok {
			continue
		}
		if len(all) == 0 || all[len(all)-1].Emoji != emoji {
			all = append(all, reaction{Emoji: emoji})
		}
		last := &all[len(all)-1]
		last.Users = append(last.Users, an.GetAuthor())
	}
	return all
}

// shownReactors is how many people a line names of those who reacted alike.
const shownReactors = 3

// reactionText is the reactions to a message as a line: "👍 alice, bob · 🎉 5".
func reactionText(m *controlpb.Message) string {
	var parts []string
	for _, r := range reactions(m) {
		who := strings.Join(r.Users, ", ")
		if len(r.Users) > shownReactors {
			who = strconv.Itoa(len(r.Users))
		}
		parts = append(parts, client.PrintableLine(r.Emoji)+" "+who)
	}
	return strings.Join(parts, " · ")
}

// shortcode is what may be one.
var shortcode = regexp.MustCompile(`:[a-z0-9_+-]+:`)

// withEmoji gives a text that was typed with emoji for its shortcodes. Where there
// is no plugin for it, it stays as it is.
func withEmoji(ctx context.Context, c *client.Client, text string) string {
	if !shortcode.MatchString(text) {
		return text
	}
	var answer struct{ Text string }
	if askEmoji(ctx, c, "replace", text, nil, &answer) != nil || answer.Text == "" {
		return text
	}
	return answer.Text
}

// completeEmoji gives what the shortcode at the end of a text may become, and how
// much of the text that replaces.
func completeEmoji(ctx context.Context, c *client.Client, text string) (replaces string, items []emojiItem) {
	var answer struct {
		Start int
		Items []emojiItem
	}
	err := askEmoji(ctx, c, "complete", text, nil, &answer)
	if err != nil || answer.Start < 0 || answer.Start > len(text) || len(answer.Items) == 0 {
		return "", nil // there is nothing to offer
	}
	return text[answer.Start:], answer.Items
}
