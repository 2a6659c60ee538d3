// Package conversation is the right side of the window: the messages of one chat,
// and the composer.
package conversation

import (
	"unicode"

	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// Pane shows one chat.
type Pane struct {
	window   widget.Window
	model    *viewmodel.Conversation
	pages    *gtk.Stack
	header   *header
	list     *messageList
	composer *composer
	find     *findBar
	pictures *pictures
}

// Names of the pages.
const (
	pageNone = "none"
	pageChat = "chat"
)

// New makes the pane.
func New(w widget.Window) *Pane {
	p := &Pane{window: w, model: w.Session().Conversation, pictures: newPictures()}
	p.model.Relabel()
	p.header = newHeader(p)
	p.list = newMessageList(p)
	p.composer = newComposer(p)
	p.find = newFindBar(p)

	chat := widget.Column(0, p.find.revealer, p.header.banner)
	chat.PackStart(p.list.overlay, true, true, 0)
	chat.PackStart(p.typing(), false, false, 0)
	chat.PackStart(p.composer.box, false, false, 0)
	chat.PackStart(p.away(), false, false, 0)
	p.pages = widget.Must(gtk.StackNew())
	p.pages.SetHHomogeneous(false)
	p.pages.AddNamed(p.empty(), pageNone)
	p.pages.AddNamed(chat, pageChat)
	widget.Class(p.pages, "conversation")
	p.pages.ShowAll()
	w.Own(p.model.Chat.Observe(func(chat string) {
		if chat == "" {
			p.pages.SetVisibleChildName(pageNone)
			return
		}
		p.pages.SetVisibleChildName(pageChat)
		p.composer.focus()
	}))

	native := w.Native()
	front := native.Connect("notify::is-active", func() { p.model.SetFront(native.IsActive()) })
	p.model.SetFront(native.IsActive())
	keys := native.Connect("key-press-event", func(_ *gtk.Window, e *gdk.Event) bool { return p.key(gdk.EventKeyNewFromEvent(e)) })
	gone := native.Connect("delete-event", func() bool {
		p.model.Composer.Flush()
		return false
	})
	w.Own(func() {
		native.HandlerDisconnect(front)
		native.HandlerDisconnect(keys)
		native.HandlerDisconnect(gone)
	})
	gtkx.AcceptFiles(p.pages, gtkx.Drop{
		Over:  func(over bool) { widget.SetClass(p.pages, "drop", over) },
		Files: func(paths, _ []string) { p.model.Composer.Attach(paths...) },
	})
	return p
}

// Widget is what is put into the window.
func (p *Pane) Widget() gtk.IWidget { return p.pages }

// Header is the right part of the window's title bar.
func (p *Pane) Header() *gtk.HeaderBar { return p.header.bar }

// Open shows a chat: at a message, or where reading stopped when it is nil. With an
// empty id it shows none.
func (p *Pane) Open(chat string, message []byte) {
	p.model.Open(chat, message)
	if chat != "" {
		p.composer.focus()
	}
}

// empty is what is shown without a chat.
func (p *Pane) empty() gtk.IWidget {
	t := p.window.Texts()
	icon := widget.Icon("user-available-symbolic", gtk.ICON_SIZE_DIALOG, "dim")
	icon.SetPixelSize(64)
	title := widget.Label(t.T("Choose a chat"), "heading")
	title.SetXAlign(0.5)
	text := widget.Label(t.T("Or add a contact with Ctrl+N."), "dim")
	text.SetXAlign(0.5)
	chats := &p.window.Session().Chats.Rows
	look := func([]viewmodel.Change[viewmodel.ChatRow]) {
		// Without any, the list says what to do.
		title.SetVisible(chats.Len() > 0)
		text.SetVisible(chats.Len() > 0)
	}
	title.SetNoShowAll(true)
	text.SetNoShowAll(true)
	look(nil)
	p.window.Own(chats.Observe(look))
	column := widget.Column(10, icon, title, text)
	column.SetVAlign(gtk.ALIGN_CENTER)
	column.SetHAlign(gtk.ALIGN_CENTER)
	return widget.Class(column, "no-chat")
}

// typing is the line that says who is typing.
func (p *Pane) typing() gtk.IWidget {
	line := widget.Line("", "typing", "dim", "small")
	gtkx.SetRole(line, gtkx.RoleStatusBar)
	r := widget.Must(gtk.RevealerNew())
	r.SetTransitionDuration(100)
	r.Add(line)
	p.window.Own(p.model.Typing.Observe(func(s string) {
		if s != "" {
			line.SetText(s)
		}
		r.SetRevealChild(s != "")
	}))
	return r
}

// away stands where the composer is, when nothing can be written.
func (p *Pane) away() gtk.IWidget {
	t := p.window.Texts()
	groups := p.window.Session().Groups
	text := widget.Label("")
	join := widget.Button(t.T("Join"), func() { groups.Join(p.model.Chat.Get(), func() {}) }, "suggested-action")
	decline := widget.Button(t.T("Decline"), func() { groups.Decline(p.model.Chat.Get()) })
	row := widget.Class(widget.Row(10), "composer", "away")
	row.PackStart(text, true, true, 0)
	row.PackEnd(join, false, false, 0)
	row.PackEnd(decline, false, false, 0)
	row.ShowAll()
	row.SetNoShowAll(true)
	p.window.Own(p.model.Header.Observe(func(h viewmodel.Header) {
		held := gtkx.HoldsFocus(row)
		text.SetText(h.Away)
		join.SetVisible(h.Invited)
		decline.SetVisible(h.Invited)
		row.SetVisible(h.Away != "")
		p.composer.box.SetVisible(h.Away == "")
		if p.model.Chat.Get() != "" && h.Away == "" && (held || gtkx.LostFocus(row)) {
			p.composer.focus()
		}
	}))
	p.composer.box.ShowAll()
	p.composer.box.SetNoShowAll(true)
	return row
}

// key does what keys do everywhere in the window while a chat is shown.
func (p *Pane) key(e *gdk.EventKey) bool {
	if p.model.Chat.Get() == "" || !p.pages.GetMapped() {
		return false
	}
	state := gdk.ModifierType(e.State()) & (gdk.CONTROL_MASK | gdk.SHIFT_MASK | gdk.MOD1_MASK) //nolint:gosec // bits of the keyboard
	if state == gdk.CONTROL_MASK {
		switch gtkx.ShortcutKey(e) {
		case gdk.KEY_f:
			p.find.open()
		case gdk.KEY_u:
			p.composer.chooseFiles(gtk.FILE_CHOOSER_ACTION_OPEN)
		case gdk.KEY_e:
			p.composer.emoji()
		case gdk.KEY_End:
			p.model.JumpToEnd()
		default:
			return false
		}
		return true
	}
	return false
}

// Type gives the composer a letter that was typed elsewhere in the window, and says
// whether it took it.
func (p *Pane) Type(ev *gdk.Event) bool {
	if p.model.Chat.Get() == "" {
		return false
	}
	e := gdk.EventKeyNewFromEvent(ev)
	r := gdk.KeyvalToUnicode(e.KeyVal())
	held := gdk.ModifierType(e.State()) & (gdk.CONTROL_MASK | gdk.MOD1_MASK | gdk.SUPER_MASK) //nolint:gosec // bits of the keyboard
	if held != 0 || r == 0 || r == ' ' || !unicode.IsPrint(r) {
		return false
	}
	p.composer.view.GrabFocus()
	return p.composer.view.Event(ev)
}

// failed tells a person that something did not work.
func (p *Pane) failed(err error) {
	if err != nil {
		p.window.Toast(err.Error())
	}
}
