package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unicode/utf8"

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

		ValidArgsFunction: a.chats(),
		Args:              needArgs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				chat, err := resolveChat(ctx, c, args[0])
				if err != nil {
					return err
				}
				conversation := &conversation{app: a, client: c, chat: chat, who: args[0], sent: map[string]bool{}, listed: map[string]bool{}, cards: map[string]string{}, reacted: map[string]string{}, offered: map[string]bool{}}
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
	reader reader

	screen   io.Writer
	readLine func() (string, error)
	editor   *lineEditor // on a terminal
	status   *statusRow  // there too
	unsent   int         // lines of a pipe that could not be sent

	mu      sync.Mutex        // guards all below
	sent    map[string]bool   // ids of what came through the pipe, where nobody wants to see it again
	listed  map[string]bool   // ids of what was shown from a list, and may be announced yet
	cards   map[string]string // what was shown of cards, by message
	reacted map[string]string // what was shown of reactions, by message
	last    []byte            // id of the newest message shown
	offered map[string]bool   // emoji that Tab put into the line, or might have
}

func (v *conversation) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	restore := v.openScreen(ctx)
	defer restore()

	events, err := v.client.Watch(ctx, &controlpb.WatchRequest{})
	if err != nil {
		return err
	}
	if _, err := events.Recv(); err != nil {
		return err
	}
	me, err := v.client.GetStatus(ctx, &controlpb.GetStatusRequest{})
	if err != nil {
		return err
	}
	v.reader.self = me.GetUser()
	page, err := v.client.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: v.chat, Limit: 20})
	if err != nil {
		return err
	}
	for _, m := range page.GetMessages() {
		v.addListed(m)
	}
	v.markRead(ctx)
	if mark := notEncrypted(v.chat); mark != "" {
		v.say("%s: what is written here goes over the network as it is, and nothing proves who is who.", mark)
	}
	v.say("Chat with %s. Enter sends, /help lists commands, /quit or Ctrl+D ends.", v.who)
	if v.editor != nil {
		v.openStatus(ctx, v.editor.SetStatus, page.GetMessages())
		go v.tellTyping(ctx, v.editor.typed)
	}

	done := make(chan error, 2)
	go func() { done <- v.follow(ctx, events) }()
	go func() { done <- v.input(ctx) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = nil
	}
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil && !errors.Is(err, io.EOF):
		return err
	case v.unsent == 1:
		return errors.New("one line was not sent")
	case v.unsent > 1:
		return fmt.Errorf("%d lines were not sent", v.unsent)
	}
	return nil
}

// openScreen makes a line editor on a terminal, plain lines elsewhere.
func (v *conversation) openScreen(ctx context.Context) (restore func()) {
	_, isTerminal := v.app.terminal()
	out, isFile := v.app.out.(*os.File)
	if isTerminal && isFile && term.IsTerminal(int(out.Fd())) && !v.app.json {
		editor := newLineEditor(ctx, v.app.in, out, func(text string) (string, []suggestion) {
			ctx, cancel := context.WithTimeout(ctx, completePatience)
			defer cancel()
			return v.complete(ctx, text)
		})
		v.screen, v.readLine, v.editor = editor, editor.ReadLine, editor
		return editor.Close
	}
	scanner := bufio.NewScanner(v.app.in)
	scanner.Buffer(nil, maxText+1)
	v.screen = v.app.out
	v.readLine = func() (string, error) {
		if scanner.Scan() {
			return scanner.Text(), nil
		}
		if err := scanner.Err(); errors.Is(err, bufio.ErrTooLong) {
			return "", errTooLong
		} else if err != nil {
			return "", fmt.Errorf("read line: %w", err)
		}
		return "", io.EOF
	}
	return func() {}
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
	_, _ = fmt.Fprintln(v.screen, v.reader.chatLine(m)+reactionLine(m))
}

// add shows a new message, unless it has just come through the pipe.
func (v *conversation) add(m *controlpb.Message) {
	v.mu.Lock()
	id := string(m.GetId())
	known := v.listed[id] || v.sent[id] && !v.app.json
	delete(v.listed, id)
	delete(v.sent, id)
	if m.GetCard() != nil {
		v.cards[id] = messageText(m)
	}
	v.reacted[id] = reactionText(m)
	v.last = m.GetId()
	v.mu.Unlock()
	if !known {
		v.show(m)
	}
}

// addListed shows a message of a list, which may be announced as well.
func (v *conversation) addListed(m *controlpb.Message) {
	v.add(m)
	v.mu.Lock()
	v.listed[string(m.GetId())] = true
	v.mu.Unlock()
}

// redrawn says whether the card of a message that was shown is another now.
func (v *conversation) redrawn(m *controlpb.Message) bool { return v.isNew(v.cards, m, messageText(m)) }

// newReactions says whether the reactions to a message that was shown are others
// now.
func (v *conversation) newReactions(m *controlpb.Message) bool {
	return v.isNew(v.reacted, m, reactionText(m))
}

// isNew says whether something of a message that was shown reads otherwise now, and
// notes how it does.
func (v *conversation) isNew(shown map[string]string, m *controlpb.Message, text string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	was, ok := shown[string(m.GetId())]
	if !ok || was == text {
		return false
	}
	shown[string(m.GetId())] = text
	return true
}

// showReactions shows the reactions to a message that stands further up.
func (v *conversation) showReactions(m *controlpb.Message) {
	text := reactionText(m)
	if text == "" {
		text = "no reactions any more"
	}
	v.say("%s%s (to %s: %s)", strings.Repeat(" ", messageIndent), text, m.GetAuthor(), cut(strings.Join(strings.Fields(messageText(m)), " "), 30))
}

// catchUp shows what came while this could not follow.
func (v *conversation) catchUp(ctx context.Context) error {
	v.mu.Lock()
	last := v.last
	v.mu.Unlock()
	for {
		page, err := v.client.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: v.chat, After: last, Limit: 100})
		if client.Reason(err) == "BUSY" {
			return nil // another Resync follows
		}
		if err != nil {
			return err
		}
		for _, m := range page.GetMessages() {
			v.addListed(m)
			last = m.GetId()
		}
		if !page.GetMore() || len(last) == 0 || len(page.GetMessages()) == 0 {
			return nil
		}
	}
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
		if v.status != nil {
			v.status.take(e)
		}
		switch {
		case e.GetMessageAdded().GetChat() == v.chat && e.GetMessageAdded() != nil:
			v.add(e.GetMessageAdded())
			v.markRead(ctx)
		case e.GetResync() != nil:
			if err := v.catchUp(ctx); err != nil {
				return err
			}
		case e.GetMessageChanged().GetChat() == v.chat && e.GetMessageChanged() != nil:
			m := e.GetMessageChanged()
			reacted := v.newReactions(m)
			if v.redrawn(m) || m.GetDelivery() == controlpb.Delivery_DELIVERY_FAILED || m.GetEdited() || m.GetDeleted() || v.app.json {
				v.show(m)
			} else if reacted {
				v.showReactions(m)
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
			err = v.send(ctx, strings.TrimPrefix(line, "/"))
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return err
		}
		errs := v.app.errs
		if v.editor != nil {
			errs = v.screen
		} else {
			v.unsent++
		}
		_, _ = fmt.Fprintln(errs, "parley: "+sentence(err))
	}
}

func (v *conversation) send(ctx context.Context, text string) error {
	if !utf8.ValidString(text) {
		return errors.New("a line is not text in UTF-8: only text can be sent")
	}
	return v.sendReply(ctx, text, nil)
}

// sendReply sends text, as an answer to a message when one is given.
func (v *conversation) sendReply(ctx context.Context, text string, to []byte) error {
	id := client.NewInvocation()
	if v.editor == nil {
		v.mu.Lock()
		v.sent[string(id)] = true
		v.mu.Unlock()
	}
	_, err := v.client.InvokeAction(ctx, textPlugin, &pluginpb.InvokeRequest{
		Invocation: id, Action: "send", Chat: v.chat, Text: withEmoji(ctx, v.client, text), Message: to,
	}, nil)
	if err == nil {
		v.noteOffered(ctx, text)
	}
	return err
}

// onMessages are the commands on messages.
var onMessages = []struct{ name, use, label string }{
	{"reply", "/reply TEXT", "answer the latest message of somebody else"},
	{"edit", "/edit TEXT", "change your latest message"},
	{"delete", "/delete", "delete your latest message for everybody"},
	{"react", "/react EMOJI", "react to the latest message of somebody else, also with :tada:"},
	{"unreact", "/unreact EMOJI", "take a reaction to it back"},
}

// onMessage runs a command on the latest message that it is for.
func (v *conversation) onMessage(ctx context.Context, name, text string) error {
	var m *controlpb.Message
	var err error
	if name == "edit" || name == "delete" {
		m, err = pickFor(ctx, v.client, v.chat, nil, name)
	} else {
		m, err = pick(ctx, v.client, v.chat, nil, toAnswer)
	}
	if err != nil {
		return err
	}
	switch name {
	case "reply":
		return v.sendReply(ctx, text, m.GetId())
	case "react", "unreact":
		_, _, err = react(ctx, v.client, m, text, name == "unreact")
		return err
	case "edit":
		text = withEmoji(ctx, v.client, text)
	}
	_, err = v.client.InvokeAction(ctx, m.GetPlugin(), &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: name, Chat: v.chat, Message: m.GetId(), Text: text,
	}, nil)
	if err == nil {
		v.noteOffered(ctx, text)
	}
	return err
}

// command runs a plugin's slash command, or presses a button.
func (v *conversation) command(ctx context.Context, line string) error {
	if !utf8.ValidString(line) {
		return errors.New("a line is not text in UTF-8: only text can be sent")
	}
	name, typed, _ := strings.Cut(line, " ")
	for _, c := range onMessages {
		if c.name == name {
			return v.onMessage(ctx, name, typed)
		}
	}
	if name == "press" {
		return pressButton(ctx, v.client, v.chat, nil, typed)
	}
	c, rest, err := findSlash(ctx, v.client, line)
	if err != nil {
		return err
	}
	_, err = v.client.InvokeAction(ctx, c.plugin, &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: c.action.GetName(), Chat: v.chat, Text: rest,
	}, nil)
	return err
}

func (v *conversation) help(ctx context.Context) {
	rows := [][2]string{{"/quit", "end"}, {"/press BUTTON", "press a button of the newest message that has it"}}
	for _, c := range onMessages {
		rows = append(rows, [2]string{c.use, c.label})
	}
	commands, err := slashCommands(ctx, v.client)
	if err != nil {
		v.say("! %s", sentence(err))
	}
	for _, c := range commands {
		rows = append(rows, [2]string{"/" + c.action.GetName(), client.PrintableLine(c.action.GetLabel()) + " (" + c.plugin + ")"})
	}
	for _, row := range rows {
		v.say("%-12s %s", row[0], row[1])
	}
}
