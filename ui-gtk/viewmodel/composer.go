package viewmodel

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/ui-gtk/texts"
)

// The text plugin's names that the window knows.
const (
	textPlugin = "text"
	textKind   = "text"
)

// Bounds of what is written.
const (
	// MaxText is how many bytes a text message may have.
	MaxText = 64 << 10
	// maxLine is how many characters a line in the text field may have. GTK lays out
	// a line anew with each letter, in a time that grows with its square: 65,000
	// characters take it a minute.
	maxLine    = 4000
	maxCaption = 2 << 10 // of the file plugin
	maxFiles   = 60      // likewise
)

const (
	draftAfter  = time.Second
	typingEvery = 3 * time.Second
)

// Composer is where one writes into the chat that is shown. What stands in it is
// kept for each chat, and in the core as the chat's draft.
type Composer struct {
	conversation *Conversation
	session      *Session
	drafts       map[string]*draft
	chat         string
	before       string // the cursor in its line
	completions  int    // counts questions and their ends: later answers win

	// Text is what the text field shall hold; it is set when that changes by
	// something else than typing.
	Text Value[string]
	// Insert is something to be put where the cursor is.
	Insert Signal[string]
	// Replace is something instead of what stands before the cursor.
	Replace Signal[Replacement]
	// Completion is what completes what is being typed.
	Completion Value[Completion]
	// Look is all but the text.
	Look Value[ComposerLook]
}

// ComposerLook is what a composer shows besides the text.
type ComposerLook struct {
	// Reply is the message that is being answered, Edit the one that is changed.
	Reply, Edit *QuoteRow
	Files       []Attachment
	// Problem says why what is there cannot be sent, or nothing. AsFile: it could be
	// as a file.
	Problem string
	AsFile  bool
	// Commands that complete what was typed.
	Commands []Command
	// Ready: there is something to send.
	Ready bool
	// Running is the label of the action that a plugin is doing, or empty.
	Running string
}

// Attachment is a file that is sent with the next message.
type Attachment struct {
	Path, Name, Line string
	Folder           bool
	Picture          bool
}

// RowKey implements Row. What there is at a path may have become something else.
func (a Attachment) RowKey() string { return fmt.Sprint(a.Path, "\x00", a.Folder, a.Picture) }

// Same implements Row.
func (a Attachment) Same(o Attachment) bool { return a == o }

// Command is a slash command of a plugin.
type Command struct{ Plugin, Name, Label string }

type draft struct {
	text    string
	reply   *controlpb.Message
	edit    *controlpb.Message
	before  string // what stood there before an edit began
	files   []Attachment
	pasted  string // too large a text, kept until it is decided what to do
	known   bool   // the core's draft was taken over
	saved   string // what the core has
	stop    func() // saving it soon
	typing  time.Time
	running string
	cancel  func()
}

func newComposer(c *Conversation) *Composer {
	x := &Composer{conversation: c, session: c.session, drafts: map[string]*draft{}}
	c.session.outbox.changed = func(chat string) {
		if chat == c.chat {
			c.changed()
		}
		x.save(chat)
	}
	c.session.Plugins.Rows.Observe(func([]Change[PluginRow]) { x.look() })
	return x
}

func (x *Composer) draft() *draft {
	d := x.drafts[x.chat]
	if d == nil {
		d = &draft{}
		x.drafts[x.chat] = d
	}
	return d
}

// forget forgets all that is written: it is another account's.
func (x *Composer) forget() {
	for _, d := range x.drafts {
		if d.stop != nil {
			d.stop()
		}
		if d.cancel != nil {
			d.cancel()
		}
	}
	clear(x.drafts)
}

// enter shows what stands in a chat's composer.
func (x *Composer) enter(chat string) {
	x.chat = chat
	x.learn()
	x.before = ""
	x.EndCompletion()
	x.Text.set(x.draft().text)
	x.look()
}

// learn takes over the draft that the core has, once.
func (x *Composer) learn() {
	d := x.draft()
	c := x.session.Chats.Get(x.chat)
	if c == nil || d.known {
		return
	}
	d.known, d.saved = true, c.GetDraft()
	if d.text == "" && d.saved != "" {
		if longestLine(d.saved) > maxLine {
			d.pasted = d.saved
		} else {
			d.text = d.saved
		}
		x.Text.set(d.text)
		x.look()
	}
}

// longestLine gives the length of the longest line in characters.
func longestLine(s string) int {
	longest := 0
	for line := range strings.SplitSeq(s, "\n") {
		longest = max(longest, utf8.RuneCountInString(line))
	}
	return longest
}

// leave keeps what stands there.
func (x *Composer) leave() {
	if x.chat == "" {
		return
	}
	x.stopTyping()
	x.flush(x.chat)
}

// Flush keeps what was typed in the core now: when the window closes.
func (x *Composer) Flush() { x.leave() }

// look says anew what is shown.
func (x *Composer) look() {
	d := x.draft()
	t := x.session.Texts()
	l := ComposerLook{Files: slices.Clone(d.files), Running: d.running}
	if d.reply != nil {
		l.Reply = x.strip(d.reply)
	}
	if d.edit != nil {
		l.Edit = x.strip(d.edit)
	}
	l.Ready = strings.TrimSpace(d.text) != "" || len(d.files) > 0
	switch {
	case d.pasted != "" && len(d.text)+len(d.pasted) <= MaxText:
		l.AsFile = true
		l.Problem = t.T("What you paste has a line that is too long to be edited here.")
	case d.pasted != "":
		l.AsFile = true
		l.Problem = t.F("What you paste has %s; a message takes 64 KiB.", t.Size(uint64(len(d.pasted))))
	case len(d.files) > 0 && len(strings.TrimSpace(d.text)) > maxCaption:
		l.Problem = t.T("The text is too long to go with files. Send it by itself first.")
	case len(d.text) > MaxText:
		l.AsFile = true
		l.Problem = t.F("The text has %s; a message takes 64 KiB.", t.Size(uint64(len(d.text))))
	}
	if l.Problem != "" {
		l.Ready = false
	}
	l.Commands = x.commands(d.text)
	if !reflect.DeepEqual(l, x.Look.Get()) { // as it seldom is while one writes
		x.Look.set(l)
	}
}

func (x *Composer) strip(m *controlpb.Message) *QuoteRow {
	return &QuoteRow{ID: m.GetId(), Author: x.session.Contacts.Name(m.GetAuthor()), Line: client.PrintableLine(firstRunes(m.GetBody(), 200))}
}

// Typed takes what stands in the text field after a person changed it.
func (x *Composer) Typed(text string) {
	d := x.draft()
	if text == d.text || x.chat == "" {
		return
	}
	d.text = text
	x.Text.keep(text) // for a page that is drawn anew
	x.look()
	x.saveSoon(x.chat)
	if strings.TrimSpace(text) == "" {
		x.stopTyping()
		return
	}
	if now := x.session.cfg.Now(); now.Sub(d.typing) >= typingEvery && !x.conversation.limited() {
		d.typing = now
		x.notice(true)
	}
}

func (x *Composer) stopTyping() {
	d := x.draft()
	if !d.typing.IsZero() && x.session.cfg.Now().Sub(d.typing) < typingFades {
		x.notice(false)
	}
	d.typing = time.Time{}
}

// notice tells the others that one is typing; nobody misses one that is lost.
func (x *Composer) notice(typing bool) {
	req := &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: "typing", Chat: x.chat, Args: map[string]string{"typing": fmt.Sprint(typing)},
	}
	x.session.call(func(ctx context.Context, core Core) error {
		_, err := core.InvokeAction(ctx, textPlugin, req, nil)
		return err
	}, func(error) {})
}

// setText replaces what stands there.
func (x *Composer) setText(text string) {
	if longestLine(text) > maxLine {
		x.draft().pasted = text
		x.look()
		return
	}
	x.draft().text = text
	x.Text.set(text)
	x.look()
	x.saveSoon(x.chat)
}

// saveSoon keeps the draft in the core once nothing was typed for a moment.
func (x *Composer) saveSoon(chat string) {
	d := x.drafts[chat]
	if d == nil {
		return
	}
	if d.stop != nil {
		d.stop()
	}
	d.stop = x.session.cfg.After(draftAfter, func() { x.flush(chat) })
}

// save is saveSoon for what is not shown perhaps.
func (x *Composer) save(chat string) {
	if x.drafts[chat] != nil {
		x.saveSoon(chat)
	}
}

// flush keeps the draft in the core now, if it is another. What was sent and not
// taken yet is part of it: if this program ends now, it is not lost.
func (x *Composer) flush(chat string) {
	d := x.drafts[chat]
	if d == nil {
		return
	}
	if d.stop != nil {
		d.stop()
		d.stop = nil
	}
	text := d.text
	if d.edit != nil {
		text = d.before
	}
	parts := append(x.session.outbox.texts(chat), text)
	if d.pasted != "" && len(d.pasted) <= MaxText {
		parts = append(parts, d.pasted)
	}
	kept := strings.TrimPrefix(strings.Join(parts, "\n"), "\n")
	if strings.TrimSpace(kept) == "" {
		kept = ""
	}
	if len(kept) > MaxText {
		kept = strings.ToValidUTF8(kept[:MaxText], "")
	}
	if kept == d.saved || !d.known {
		return
	}
	was := d.saved
	d.saved = kept
	x.session.call(func(ctx context.Context, core Core) error {
		_, err := core.SetChat(ctx, &controlpb.SetChatRequest{Id: chat, Draft: &kept})
		return err
	}, func(err error) {
		if err != nil && d.saved == kept {
			d.saved = was
			if lost(err) {
				d.stop = x.session.cfg.After(draftAfter, func() { x.flush(chat) })
			}
		}
	})
}

// Reply answers a message.
func (x *Composer) Reply(key string) {
	r := x.conversation.Row(key)
	if r == nil || r.Unsent || r.Message.GetDeleted() || x.conversation.limited() {
		return
	}
	x.endEdit()
	x.draft().reply = r.Message
	x.look()
}

// Edit changes a message of one's own.
func (x *Composer) Edit(key string) {
	r := x.conversation.Row(key)
	if r == nil || !editable(r) || x.conversation.limited() {
		return
	}
	if longestLine(r.Message.GetBody()) > maxLine {
		x.session.Failures.emit(x.session.Texts().T("That message has a line that is too long to be edited here."))
		return
	}
	d := x.draft()
	if d.edit == nil {
		d.before = d.text
	}
	d.reply, d.edit = nil, r.Message
	x.setText(r.Message.GetBody())
}

// EditLast changes the last message of one's own, when nothing stands there. It
// says whether there is one.
func (x *Composer) EditLast() bool {
	d := x.draft()
	r := x.conversation.lastOwnText()
	if d.text != "" || d.edit != nil || r == nil || x.conversation.limited() {
		return false
	}
	x.Edit(r.Key)
	return true
}

func (x *Composer) endEdit() {
	if d := x.draft(); d.edit != nil {
		d.edit = nil
		text := d.before
		d.before = ""
		x.setText(text)
	}
}

// Cancel ends an edit, an answer, or files that were to be sent; it says whether
// there was anything.
func (x *Composer) Cancel() bool {
	d := x.draft()
	switch {
	case d.cancel != nil:
		d.cancel()
	case d.pasted != "":
		d.pasted = ""
	case d.edit != nil:
		x.endEdit()
	case d.reply != nil:
		d.reply = nil
	case len(d.files) > 0:
		d.files = nil
	default:
		return false
	}
	x.look()
	return true
}

// Folders says whether folders can be sent here.
func (x *Composer) Folders() bool { return !x.conversation.limited() }

// Attach adds files and folders to the next message.
func (x *Composer) Attach(paths ...string) {
	d := x.draft()
	t := x.session.Texts()
	x.endEdit()
	for _, p := range paths {
		if slices.ContainsFunc(d.files, func(a Attachment) bool { return a.Path == p }) {
			continue
		}
		if len(d.files) == maxFiles {
			x.session.Failures.emit(t.N("At most %d file goes at once. Send the folder they are in.", "At most %d files go at once. Send the folder they are in.", maxFiles))
			break
		}
		a, err := attachment(t, p)
		if err != nil {
			x.session.Failures.emit(err.Error())
			continue
		}
		if a.Folder && x.conversation.limited() {
			x.session.Failures.emit(t.T("People of 2019 cannot get folders. Pack it into one file first."))
			continue
		}
		d.files = append(d.files, a)
	}
	x.look()
}

func attachment(t *texts.Texts, path string) (Attachment, error) {
	a := Attachment{Path: path, Name: client.PrintableLine(strings.ToValidUTF8(filepath.Base(path), "\uFFFD"))}
	if !utf8.ValidString(path) {
		return a, fmt.Errorf("%s", t.F("The name of %s is not UTF-8. Rename it first.", a.Name))
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return a, fmt.Errorf("%s", t.F("%s cannot be read.", a.Name))
	case info.IsDir():
		a.Folder, a.Line = true, t.T("Folder")
	case !info.Mode().IsRegular():
		return a, fmt.Errorf("%s", t.F("%s is neither a file nor a folder.", a.Name))
	default:
		a.Line = t.Size(uint64(info.Size())) //nolint:gosec // not negative
		switch strings.ToLower(filepath.Ext(path)) {
		case ".png", ".jpg", ".jpeg", ".gif", ".webp":
			a.Picture = true
		}
	}
	return a, nil
}

// Detach takes one of the files back.
func (x *Composer) Detach(path string) {
	d := x.draft()
	d.files = slices.DeleteFunc(d.files, func(a Attachment) bool { return a.Path == path })
	x.look()
}

// Paste takes text from the clipboard. What fits goes to where the cursor is; for
// what is too large it is asked whether to send it as a file.
func (x *Composer) Paste(text string) {
	d := x.draft()
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\r\n", "\n"), "\uFFFD")
	if len(d.text)+len(text) > MaxText || longestLine(d.text)+longestLine(text) > maxLine {
		d.pasted = text
		x.look()
		return
	}
	x.Insert.emit(text)
}

// PasteFile keeps content that has no file yet, a picture of the clipboard or a
// long text, as one, and attaches it.
func (x *Composer) PasteFile(name string, content []byte) {
	profile := x.session.Status.Get().GetProfile()
	stamp := x.session.cfg.Now().Format("2006-01-02 15.04.05")
	chat := x.chat
	var path string
	x.session.beside(func() (err error) {
		path, err = keepPasted(profile, stamp, name, content)
		return err
	}, func(err error) {
		if err != nil {
			x.session.Failures.emit(client.PrintableLine(err.Error()))
			return
		}
		if chat == x.chat {
			x.Attach(path)
		}
	})
}

// keepPasted writes a file that no other has the name of. It stays: those who get
// it may fetch it later.
func keepPasted(profile, stamp, name string, content []byte) (string, error) {
	folders, err := client.FoldersOf(profile)
	if err != nil {
		return "", err
	}
	folder := filepath.Join(folders.Data, "pasted")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("keep what was pasted: %w", err)
	}
	base, ending := strings.TrimSuffix(name, filepath.Ext(name)), filepath.Ext(name)
	for n := 1; ; n++ {
		path := filepath.Join(folder, base+" "+stamp+ending)
		if n > 1 {
			path = filepath.Join(folder, fmt.Sprintf("%s %s (%d)%s", base, stamp, n, ending))
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if os.IsExist(err) && n < 1000 {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("keep what was pasted: %w", err)
		}
		_, err = f.Write(content)
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			_ = os.Remove(path)
			return "", fmt.Errorf("keep what was pasted: %w", err)
		}
		return path, nil
	}
}

// SendAsFile attaches a text that is too long, as a file.
func (x *Composer) SendAsFile() {
	d := x.draft()
	text := d.pasted
	d.pasted = ""
	if text == "" {
		text = d.text
		x.setText("")
	}
	x.look()
	x.PasteFile(x.session.Texts().T("Text")+".txt", []byte(text))
}

// Send sends what stands there, runs a slash command, or ends an edit.
func (x *Composer) Send() {
	d := x.draft()
	x.look()
	if !x.Look.Get().Ready || x.chat == "" {
		return
	}
	text := strings.TrimRight(strings.TrimLeft(d.text, "\n"), " \t\n")
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	switch {
	case d.edit != nil:
		x.sendEdit(text)
		return
	case len(d.files) > 0:
		x.sendFiles(text)
	default:
		if command, rest, ok := x.command(text); ok {
			x.setText("")
			x.Run(PluginAction{Plugin: command.Plugin, Action: &pluginpb.Action{Name: command.Name, Label: command.Label}}, rest, text)
			return
		}
		x.sendText(text)
	}
	d.reply, d.typing = nil, time.Time{}
	x.conversation.newFrom = ""
	x.setText("")
	x.conversation.JumpToEnd()
}

func (x *Composer) sendText(text string) {
	d := x.draft()
	req := &pluginpb.InvokeRequest{Action: "send", Chat: x.chat, Text: text, Message: d.reply.GetId()}
	x.session.outbox.send(&outgoing{plugin: textPlugin, req: req, quote: quote(d.reply), text: text, shown: true, typed: true})
}

func quote(m *controlpb.Message) *controlpb.Quote {
	if m == nil {
		return nil
	}
	return &controlpb.Quote{Id: m.GetId(), Author: m.GetAuthor(), Body: firstRunes(m.GetBody(), 200)}
}

func (x *Composer) sendFiles(caption string) {
	d := x.draft()
	req := &pluginpb.InvokeRequest{Action: "send", Chat: x.chat, Text: caption, Message: d.reply.GetId()}
	for _, f := range d.files {
		req.Paths = append(req.Paths, f.Path)
	}
	d.files = nil
	x.session.outbox.send(&outgoing{plugin: filePlugin, req: req, quote: quote(d.reply), text: caption, shown: true, typed: true})
}

func (x *Composer) sendEdit(text string) {
	d := x.draft()
	m, chat := d.edit, x.chat
	x.endEdit()
	if text == m.GetBody() {
		return
	}
	x.session.outbox.send(&outgoing{
		plugin: textPlugin, req: &pluginpb.InvokeRequest{Action: "edit", Chat: chat, Text: text, Message: m.GetId()}, typed: true,
		done: func(err error) {
			if err == nil {
				return
			}
			x.session.outbox.drop(x.session.outbox.find(m.GetId(), "edit"))
			x.session.Failures.emit(x.session.Sentence(err))
			if e := x.drafts[chat]; chat == x.chat && e != nil && e.text == "" && e.edit == nil { // give back what was written
				e.edit = m
				x.setText(text)
			}
		},
	})
}

// find gives what was asked on a message, or nil.
func (o *outbox) find(message []byte, action string) *outgoing {
	for _, x := range o.list {
		if string(x.req.GetMessage()) == string(message) && x.req.GetAction() == action {
			return x
		}
	}
	return nil
}

// commands gives the slash commands that complete a text.
func (x *Composer) commands(text string) []Command {
	if !strings.HasPrefix(text, "/") || strings.ContainsAny(text, " \n") {
		return nil
	}
	var list []Command
	for _, a := range x.session.Plugins.Actions(pluginpb.Place_PLACE_SLASH_COMMAND, "") {
		if strings.HasPrefix(a.Action.GetName(), strings.ToLower(text[1:])) && len(list) < 20 {
			list = append(list, Command{a.Plugin, a.Action.GetName(), x.session.Label(a.Action.GetLabel())})
		}
	}
	return list
}

// command splits "/name rest" when there is such a command.
func (x *Composer) command(text string) (c Command, rest string, ok bool) {
	if !strings.HasPrefix(text, "/") {
		return Command{}, "", false
	}
	name, rest, _ := strings.Cut(text[1:], " ")
	for _, a := range x.session.Plugins.Actions(pluginpb.Place_PLACE_SLASH_COMMAND, "") {
		if a.Action.GetName() == name {
			return Command{a.Plugin, name, client.PrintableLine(a.Action.GetLabel())}, strings.TrimSpace(rest), true
		}
	}
	return Command{}, "", false
}

// Complete writes a command into the composer.
func (x *Composer) Complete(c Command) { x.setText("/" + c.Name + " ") }

// Actions gives what plugins offer in the composer. What the window does itself,
// sending files, is left out.
func (x *Composer) Actions() []PluginAction {
	return slices.DeleteFunc(x.session.Plugins.Actions(pluginpb.Place_PLACE_COMPOSER, ""), func(a PluginAction) bool {
		return a.Plugin == filePlugin && a.Action.GetName() == "send"
	})
}

// Run has a plugin do an action with a text, and shows what it says meanwhile. back
// is put into the composer again when it fails.
func (x *Composer) Run(a PluginAction, text, back string) {
	d, chat := x.draft(), x.chat
	if d.running != "" || chat == "" {
		return
	}
	req := &pluginpb.InvokeRequest{Invocation: client.NewInvocation(), Action: a.Action.GetName(), Chat: chat, Text: text, Message: d.reply.GetId()}
	base := d.text
	previewed := false
	d.running = x.session.Label(a.Action.GetLabel())
	ctx, cancel := context.WithCancel(x.session.ctx)
	d.cancel = cancel
	x.look()
	show := func(f func()) {
		if chat == x.chat && d.running != "" {
			f()
		}
	}
	x.session.callFor(0, func(_ context.Context, core Core) error {
		_, err := core.InvokeAction(ctx, a.Plugin, req, func(u *pluginpb.InvokeUpdate) {
			x.session.cfg.Loop.Post(func() {
				show(func() {
					switch u := u.GetUpdate().(type) {
					case *pluginpb.InvokeUpdate_Preview:
						previewed = true
						x.setText(join(base, firstRunes(u.Preview, MaxText)))
					case *pluginpb.InvokeUpdate_Insert:
						base, previewed = join(base, firstRunes(u.Insert, MaxText)), false
						x.setText(base)
					}
				})
			})
		})
		return err
	}, func(err error) {
		cancelled := ctx.Err() != nil
		cancel()
		d.running, d.cancel = "", nil
		if previewed {
			d.text = base
		}
		if err != nil && d.text == "" && back != "" {
			d.text = back
		}
		if chat == x.chat {
			x.setText(d.text)
		}
		if err != nil && !cancelled {
			x.session.Failures.emit(x.session.Sentence(err))
		}
	})
}

func join(a, b string) string {
	if a == "" || b == "" || strings.HasSuffix(a, " ") || strings.HasSuffix(a, "\n") {
		return a + b
	}
	return a + " " + b
}
