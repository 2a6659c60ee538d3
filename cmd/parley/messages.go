package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	textPlugin = "text" // whose messages send, chat and edit are about
	maxText    = 64 << 10

	messageIndent = len("15:04 ") // of a message's further lines
)

func (a *app) sendCommand() *cobra.Command {
	var wait time.Duration
	var replyTo string
	var literal bool
	cmd := &cobra.Command{
		Use:   "send WHO [TEXT...]",
		Short: "Send a message; without TEXT it is read from standard input",
		Long: `Send a message. Without TEXT it is read from standard input, and sent as it is.

A TEXT that begins with "/" is a command of a plugin, as in a chat:
  parley send bob "/poll Lunch? | Noodles | Rice"
To send such a text itself, write "//".

Shortcodes in TEXT become emoji: "Done :tada:". To send one as it is, write
"\:tada:", or all of them with --literal. parley emoji search finds them.`,
		Args: needArgs(1, -1),

		ValidArgsFunction: a.chats(),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.messageBody(cmd.Context(), args[1:])
			if err != nil {
				return err
			}
			req := &pluginpb.InvokeRequest{Invocation: client.NewInvocation(), Action: "send", Text: text}
			if replyTo != "" {
				if req.Message, err = parseID(replyTo); err != nil {
					return err
				}
			}
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				if req.Chat, err = resolveChat(ctx, c, args[0]); err != nil {
					return err
				}
				if replyTo != "" {
					if _, err := oneMessage(ctx, c, req.GetChat(), req.GetMessage()); err != nil {
						return err
					}
				}
				plugin := textPlugin
				typed := isTyped(args[1:]) // what is piped in is sent as it is
				if typed && strings.HasPrefix(args[1], "/") {
					if plugin, err = asTyped(ctx, c, req); err != nil {
						return err
					}
				}
				if plugin == textPlugin && typed && !literal {
					req.Text = withEmoji(ctx, c, req.GetText())
				}
				return a.send(ctx, c, plugin, req, wait)
			})
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 0, "wait this `TIME`, such as 20s, for it to be delivered, and fail when it was not")
	cmd.Flags().StringVar(&replyTo, "reply-to", "", "`ID` of the message it answers; parley history --ids shows them")
	cmd.Flags().BoolVar(&literal, "literal", false, "leave :shortcodes: as they are")
	return cmd
}

// isTyped says whether a text is in the arguments, and not on standard input.
func isTyped(args []string) bool { return len(args) > 0 && (len(args) > 1 || args[0] != "-") }

func (a *app) messageBody(ctx context.Context, args []string) (string, error) {
	if isTyped(args) {
		return checkText(strings.Join(args, " "))
	}
	if _, ok := a.terminal(); ok && len(args) == 0 {
		return "", usagef("say what to send: parley send WHO TEXT, or pipe it in")
	}
	b, err := interruptible(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(a.in, maxText+2)) })
	if err != nil {
		return "", fmt.Errorf("read message from standard input: %w", err)
	}
	return checkText(strings.TrimSuffix(string(b), "\n"))
}

func checkText(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("the message is not text in UTF-8: only text can be sent")
	}
	if len(s) > maxText {
		return "", errors.New("the message is longer than 64 KiB, the most that one can have: break it up")
	}
	return s, nil
}

// send sends and says how far the message came.
func (a *app) send(ctx context.Context, c *client.Client, plugin string, req *pluginpb.InvokeRequest, wait time.Duration) error {
	// Not a deadline, which the core would see as well and end the stream for.
	waitCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	var events controlpb.Control_WatchClient
	if wait > 0 {
		var err error
		if events, err = c.Watch(waitCtx, &controlpb.WatchRequest{}); err != nil {
			return err
		}
		if _, err := events.Recv(); err != nil {
			return err
		}
	}
	if _, err := c.InvokeAction(ctx, plugin, req, nil); err != nil {
		return err
	}
	// Of the time to wait, what comes before the message is sent takes nothing.
	timer := time.AfterFunc(wait, cancel)
	defer timer.Stop()
	message, err := oneMessage(ctx, c, req.GetChat(), req.GetInvocation())
	if errors.Is(err, errNotInChat) && plugin != textPlugin {
		return a.done(map[string]any{"plugin": plugin, "action": req.GetAction()}, "Done.") // not every command makes one
	}
	if err != nil {
		return err
	}
	for wait > 0 && message.GetDelivery() < controlpb.Delivery_DELIVERY_DELIVERED {
		e, err := events.Recv()
		if err != nil {
			if waitCtx.Err() == nil || ctx.Err() != nil {
				return err
			}
			_ = a.sent(message)
			if len(message.GetRecipients()) == 0 {
				return fmt.Errorf("not delivered within %s: nobody else is in this chat yet", wait)
			}
			return fmt.Errorf("not delivered within %s; it is kept and goes out when %s can be reached%s", wait, peers(message), a.trouble(ctx, c, req.GetChat()))
		}
		if m := e.GetMessageChanged(); m != nil && string(m.GetId()) == string(req.GetInvocation()) {
			message = m
		} else if e.GetResync() != nil {
			if message, err = oneMessage(ctx, c, req.GetChat(), req.GetInvocation()); err != nil {
				return err
			}
		}
	}
	if err := a.sent(message); err != nil {
		return err
	}
	return refused(message)
}

// refused says for whom a message failed, and why; nil where for nobody.
func refused(m *controlpb.Message) error {
	if client.ReachOf(m).Failed == 0 {
		return nil
	}
	return fmt.Errorf("the message was refused: %s", failure(m))
}

// trouble is what is known of why the contact of a chat cannot be reached.
func (a *app) trouble(ctx context.Context, c *client.Client, chat string) string {
	resp, err := c.ListContacts(ctx, &controlpb.ListContactsRequest{})
	if err != nil {
		return "" // it says just less
	}
	for _, contact := range resp.GetContacts() {
		if contact.GetChat() == chat && contact.GetTrouble() != "" {
			return ": " + client.PrintableLine(contact.GetTrouble())
		}
	}
	return ""
}

func (a *app) sent(m *controlpb.Message) error {
	if m.GetDelivery() == controlpb.Delivery_DELIVERY_FAILED && !a.json {
		return nil
	}
	state := stateOf(m)
	return a.done(messageJSON(m), "%s.", strings.ToUpper(state[:1])+state[1:])
}

func peers(m *controlpb.Message) string {
	var names []string
	for _, r := range m.GetRecipients() {
		if r.GetDelivery() < controlpb.Delivery_DELIVERY_DELIVERED {
			names = append(names, r.GetUser())
		}
	}
	return strings.Join(names, ", ")
}

var errNotInChat = errors.New("not in this chat")

func oneMessage(ctx context.Context, c *client.Client, chat string, id []byte) (*controlpb.Message, error) {
	resp, err := c.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: chat, Ids: [][]byte{id}})
	if err != nil {
		return nil, err
	}
	if len(resp.GetMessages()) != 1 {
		return nil, fmt.Errorf("message %s is %w; parley history --ids shows those that are", idString(id), errNotInChat)
	}
	return resp.GetMessages()[0], nil
}

func (a *app) chatsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "chats",
		Short: "List chats, those pinned and then the latest first, or change one",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withCore(cmd, a.listChats)
		},
	}
	yes, no := true, false
	cmd.AddCommand(
		a.setChatCommand("mute WHO", "Let nothing that is written there notify, but what mentions you", "Muted %s.", &controlpb.SetChatRequest{Muted: &yes}),
		a.setChatCommand("unmute WHO", "Undo that", "What is written to %s notifies again.", &controlpb.SetChatRequest{Muted: &no}),
		a.setChatCommand("pin WHO", "Keep a chat on top of the list", "Pinned %s.", &controlpb.SetChatRequest{Pinned: &yes}),
		a.setChatCommand("unpin WHO", "Undo that", "%s is pinned no more.", &controlpb.SetChatRequest{Pinned: &no}),
	)
	cmd.AddCommand(&cobra.Command{
		Use:   "remove GROUP",
		Short: "Remove the chat of a group that one is not in, with its history here",

		ValidArgsFunction: a.completeGroup("remove-chat"),
		Args:              needArgs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				chat, err := resolveGroup(ctx, c, args[0])
				if err != nil {
					return err
				}
				if g := groupNotes(ctx, c, []*controlpb.Chat{{Id: chat, Kind: groupKind}})[chat]; g.Role == "invited" {
					return fmt.Errorf("you are invited to this group: decline first, then its chat can be removed: parley group decline %s", chat)
				}
				if _, err := c.RemoveChat(ctx, &controlpb.RemoveChatRequest{Id: chat}); err != nil {
					return err
				}
				return a.done(map[string]any{"chat": chat, "done": "remove"}, "Removed the chat. If somebody invites you again, it begins anew.")
			})
		},
	})
	return cmd
}

// setChatCommand is a command that changes how a chat is kept here.
func (a *app) setChatCommand(use, short, said string, req *controlpb.SetChatRequest) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: needArgs(1, 1), ValidArgsFunction: a.chats(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				var err error
				if req.Id, err = resolveChat(ctx, c, args[0]); err != nil {
					return err
				}
				chat, err := c.SetChat(ctx, req)
				if err != nil {
					return err
				}
				return a.done(map[string]any{"chat": chat.GetId(), "muted": chat.GetMuted(), "pinned": chat.GetPinned()}, said, client.PrintableLine(args[0]))
			})
		},
	}
}

// chatNotes says what of a chat is not as usual: "2 new, pinned, muted".
func chatNotes(chat *controlpb.Chat) string {
	var notes []string
	if chat.GetUnread() > 0 {
		notes = append(notes, strconv.Itoa(int(chat.GetUnread()))+" new")
	}
	if chat.GetPinned() {
		notes = append(notes, "pinned")
	}
	if chat.GetMuted() {
		notes = append(notes, "muted")
	}
	return strings.Join(notes, ", ")
}

func (a *app) listChats(ctx context.Context, c *client.Client) error {
	resp, err := c.ListChats(ctx, &controlpb.ListChatsRequest{})
	if err != nil {
		return err
	}
	if len(resp.GetChats()) == 0 && !a.json {
		a.println("No chats yet. Ask somebody: parley contacts add USER")
		return nil
	}
	slices.SortStableFunc(resp.GetChats(), func(x, y *controlpb.Chat) int {
		switch {
		case x.GetPinned() == y.GetPinned():
			return 0
		case x.GetPinned():
			return -1
		}
		return 1
	})
	notes := groupNotes(ctx, c, resp.GetChats())
	var rows [][]string
	for _, chat := range resp.GetChats() {
		g := notes[chat.GetId()]
		if g.Declined && !a.json {
			continue // as if nobody had asked; parley group list has it
		}
		if a.json {
			j := map[string]any{
				"id": chat.GetId(), "title": chat.GetTitle(), "kind": chat.GetKind(), "members": chat.GetMembers(), "unread": chat.GetUnread(),
				"muted": chat.GetMuted(), "pinned": chat.GetPinned(), "encrypted": notEncrypted(chat.GetId()) == "",
			}
			if chat.GetLast() != nil {
				j["last"] = messageJSON(chat.GetLast())
			}
			if chat.GetKind() == groupKind {
				j["role"], j["invited_by"] = g.Role, ""
				if g.Role == "invited" {
					j["invited_by"] = g.By
				}
				j["declined"], j["withdrawn"], j["removed"] = g.Declined, g.Withdrawn, g.Removed
			}
			if err := a.object(j); err != nil {
				return err
			}
			continue
		}
		last, when := "", ""
		if m := chat.GetLast(); m != nil {
			when = shortTime(time.UnixMicro(m.GetSentAt()), time.Now())
			last = messageText(m)
			if m.GetKind() != groupEvent {
				last = m.GetAuthor() + ": " + last
			}
			last = cut(strings.Join(strings.Fields(last), " "), 60)
		}
		switch {
		case notEncrypted(chat.GetId()) != "":
			last = "(" + notEncrypted(chat.GetId()) + ") " + last
		case g.Role == "invited":
			last = "(invited by " + g.By + "; parley group accept, or decline) " + last
		case g.Chat != "" && g.Role == "":
			last = "(" + groupNote(g) + ") " + last
		}
		rows = append(rows, []string{client.PrintableLine(chat.GetTitle()), when, chatNotes(chat), last})
	}
	a.table(rows)
	return nil
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

func (a *app) historyCommand() *cobra.Command {
	req := &controlpb.ListMessagesRequest{}
	var before, after string
	var ids bool
	cmd := &cobra.Command{
		Use:   "history WHO",
		Short: "Print messages of a chat",
		Args:  needArgs(1, 1),

		ValidArgsFunction: a.chats(),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if before != "" {
				if req.Before, err = parseID(before); err != nil {
					return err
				}
			}
			if after != "" {
				if req.After, err = parseID(after); err != nil {
					return err
				}
			}
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				if req.Chat, err = resolveChat(ctx, c, args[0]); err != nil {
					return err
				}
				resp, err := c.ListMessages(ctx, req)
				if err != nil {
					return err
				}
				if mark := notEncrypted(req.GetChat()); mark != "" && !a.json {
					a.printf("%s: a chat of 2019.\n", mark)
				}
				if len(resp.GetMessages()) == 0 && !a.json {
					a.println("No messages yet.")
				}
				me, err := c.GetStatus(ctx, &controlpb.GetStatusRequest{})
				if err != nil {
					return err
				}
				return a.printMessages(resp.GetMessages(), reader{self: me.GetUser()}, ids)
			})
		},
	}
	cmd.Flags().BoolVar(&ids, "ids", false, "show the messages' ids, for --reply-to, --message, --before and --after")
	cmd.Flags().Uint32VarP(&req.Limit, "number", "n", 50, "at most `N` messages; 500 is the most")
	cmd.Flags().StringVar(&before, "before", "", "those before the message with this `ID`")
	cmd.Flags().StringVar(&after, "after", "", "those after the message with this `ID`")
	return cmd
}

func (a *app) searchCommand() *cobra.Command {
	req := &controlpb.SearchRequest{}
	var who string
	var ids bool
	cmd := &cobra.Command{
		Use:   "search WORDS...",
		Short: "Find messages that hold all the words, newest first",
		Args:  needArgs(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Query = strings.TrimSpace(strings.Join(args, " "))
			if req.GetQuery() == "" {
				return usagef("say what to look for: parley search WORDS...")
			}
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				if who != "" {
					var err error
					if req.Chat, err = resolveChat(ctx, c, who); err != nil {
						return err
					}
				}
				resp, err := c.Search(ctx, req)
				if err != nil {
					return err
				}
				if len(resp.GetMessages()) == 0 && !a.json {
					a.println("Nothing found.")
				}
				r, err := readerOfAll(ctx, c)
				if err != nil {
					return err
				}
				if who != "" {
					r.chats = nil // it is known which one they are of
				}
				return a.printMessages(resp.GetMessages(), r, ids)
			})
		},
	}
	cmd.Flags().StringVar(&who, "chat", "", "only in the chat with `WHO`")
	chats := a.chats()
	_ = cmd.RegisterFlagCompletionFunc("chat", func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return chats(cmd, nil, typed)
	}) // the flag is there
	cmd.Flags().BoolVar(&ids, "ids", false, "show the messages' ids")
	cmd.Flags().Uint32VarP(&req.Limit, "number", "n", 50, "at most `N` messages; 200 is the most")
	return cmd
}

// reader is what, besides a message, decides how it is shown.
type reader struct {
	self string // user id
	// chats has what chats are called where it is to be said which one a message is
	// of, by their ids; nil elsewhere.
	chats map[string]string
}

// readerOfAll is for messages of all chats: users of direct chats, names of others.
func readerOfAll(ctx context.Context, c *client.Client) (reader, error) {
	me, err := c.GetStatus(ctx, &controlpb.GetStatusRequest{})
	if err != nil {
		return reader{}, err
	}
	r := reader{me.GetUser(), map[string]string{}}
	resp, err := c.ListChats(ctx, &controlpb.ListChatsRequest{})
	for _, chat := range resp.GetChats() {
		r.chats[chat.GetId()] = chatName(me.GetUser(), chat)
	}
	return r, err
}

// chatName is how a person names a chat: by the other's user id, or the title.
func chatName(self string, chat *controlpb.Chat) string {
	if peer, ok := packet.ChatID(chat.GetId()).Peer(packet.UserID(self)); ok {
		return string(peer)
	}
	return client.PrintableLine(chat.GetTitle())
}

func (a *app) printMessages(messages []*controlpb.Message, r reader, ids bool) error {
	day := ""
	for _, m := range messages {
		if a.json {
			if err := a.object(messageJSON(m)); err != nil {
				return err
			}
			continue
		}
		at := time.UnixMicro(m.GetSentAt())
		if d := at.Format("Monday, 2 January 2006"); d != day {
			day = d
			a.println("— " + d + " —")
		}
		if ids {
			a.printf("%s ", idString(m.GetId()))
		}
		a.println(r.messageLine(m))
	}
	return nil
}

// messageLine is a message as a list shows it: with how far one's own came.
func (r reader) messageLine(m *controlpb.Message) string {
	line := r.chatLine(m)
	if m.GetOwn() && m.GetKind() != groupEvent && m.GetDelivery() != controlpb.Delivery_DELIVERY_FAILED {
		line += "  [" + stateOf(m) + "]"
	}
	return line + reactionLine(m)
}

// chatLine is a message as a chat shows it, where how far it came changes while
// it stands there: only a failure is told.
func (r reader) chatLine(m *controlpb.Message) string {
	at := time.UnixMicro(m.GetSentAt()).Format("15:04")
	if name := r.chats[m.GetChat()]; name != "" {
		at += " [" + name + "]"
	}
	if m.GetKind() == groupEvent && !m.GetDeleted() { // it says who
		return at + " * " + client.PrintableLine(m.GetBody())
	}
	line := at + " " + m.GetAuthor() + ": "
	if q := m.GetReplyTo(); q != nil {
		line += "(re: " + quoteText(q) + ") "
	}
	line += strings.ReplaceAll(messageText(m), "\n", "\n"+strings.Repeat(" ", messageIndent))
	if m.GetEdited() && !m.GetDeleted() {
		line += " (edited)"
	}
	if !m.GetOwn() && !m.GetDeleted() && slices.Contains(mentions(m), r.self) {
		line += "  [mentions you]"
	}
	if m.GetOwn() && m.GetDelivery() == controlpb.Delivery_DELIVERY_FAILED {
		line += "  [" + stateOf(m) + "]"
		if why := failure(m); why != "" {
			line += " " + why
		}
	}
	return line
}

// reactionLine is what stands below a message with reactions; else it is empty.
func reactionLine(m *controlpb.Message) string {
	text := reactionText(m)
	if text == "" {
		return ""
	}
	return "\n" + strings.Repeat(" ", messageIndent) + text
}

// quoteText is what is shown of the message that was answered.
func quoteText(q *controlpb.Quote) string {
	switch {
	case q.GetDeleted():
		return "a deleted message"
	case q.GetBody() == "":
		return "a message that is not here"
	default:
		return cut(client.PrintableLine(q.GetBody()), 30)
	}
}
