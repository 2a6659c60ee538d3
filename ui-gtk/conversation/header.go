package conversation

import (
	"bytes"

	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// header is the title bar over a chat, and the banner below it.
type header struct {
	pane   *Pane
	bar    *gtk.HeaderBar
	title  *gtk.Label
	line   *gtk.Label
	lock   *gtk.Image
	open   *gtk.Label // says what the lock does, where nothing is encrypted
	person *gtk.Button
	avatar *widget.Avatar
	search *gtk.Button
	menu   *gtk.MenuButton

	banner *gtk.Revealer
	text   *gtk.Label
	review *gtk.Button

	explaining bool

	shown   bool // look and picture are what is drawn
	look    headerLook
	picture []byte
}

func newHeader(p *Pane) *header {
	t := p.window.Texts()
	h := &header{pane: p}
	h.bar = widget.Must(gtk.HeaderBarNew())
	h.title = widget.Line("", "title")
	h.line = widget.Line("", "subtitle")
	h.lock = widget.Icon("channel-secure-symbolic", gtk.ICON_SIZE_MENU, "lock")
	h.open = widget.Plain(t.T("Not encrypted"), "subtitle", "danger")
	h.open.SetNoShowAll(true)
	below := widget.Row(4, h.line, h.lock, h.open)
	column := widget.Column(0, h.title, below)
	column.SetVAlign(gtk.ALIGN_CENTER)
	h.person = widget.Class(widget.Must(gtk.ButtonNew()), "flat", "person")
	h.avatar = widget.NewAvatar(p.window, widget.AvatarSmall)
	h.person.Add(widget.Row(10, h.avatar, column))
	h.person.Connect("clicked", h.showPerson)
	h.bar.SetCustomTitle(h.person)

	h.search = widget.IconButton("edit-find-symbolic", t.T("Search in this chat (Ctrl+F)"), func() { p.find.open() })
	h.menu = widget.MenuButton("view-more-symbolic", t.T("Chat menu"), h.items)
	h.bar.PackEnd(h.menu)
	h.bar.PackEnd(h.search)
	for _, w := range []interface {
		ShowAll()
		SetNoShowAll(bool)
	}{h.person, h.menu, h.search} {
		w.ShowAll()
		w.SetNoShowAll(true) // without a chat there is nothing above it
	}

	h.text = widget.Label("")
	gtkx.SetRole(h.text, gtkx.RoleAlert)
	h.review = widget.Button(t.T("Compare keys"), h.showPerson)
	h.review.SetVAlign(gtk.ALIGN_CENTER)
	h.review.SetNoShowAll(true)
	row := widget.Class(widget.Row(10), "banner")
	row.PackStart(widget.Icon("dialog-warning-symbolic", gtk.ICON_SIZE_MENU, "warn"), false, false, 0)
	row.PackStart(h.text, true, true, 0)
	row.PackEnd(h.review, false, false, 0)
	h.banner = widget.Must(gtk.RevealerNew())
	h.banner.Add(row)

	p.window.Own(p.model.Header.Observe(h.show))
	return h
}

func (h *header) showPerson() {
	switch x := h.pane.model.Header.Get(); {
	case x.User != "":
		h.pane.window.ShowPerson(x.User)
	case x.Group != nil || x.Lock == viewmodel.NotEncrypted:
		h.pane.window.ShowGroup(x.Chat)
	}
}

// headerLook is all that the header draws of one, beside the picture.
type headerLook struct {
	chat, picked, title, line string
	presence                  viewmodel.Presence
	lock                      viewmodel.Lock
	lockText, warning         string
}

func (h *header) show(x viewmodel.Header) {
	// It is told with each message, and is nearly always the same.
	look := headerLook{x.Chat, x.Picked, x.Title, x.Line, x.Presence, x.Lock, x.LockText, x.Warning}
	if !h.shown || look != h.look || !bytes.Equal(x.Avatar, h.picture) {
		h.shown, h.look, h.picture = true, look, x.Avatar
		h.draw(x)
	}
	h.explain(x)
}

func (h *header) draw(x viewmodel.Header) {
	there := x.Chat != ""
	h.person.SetVisible(there)
	h.search.SetVisible(there)
	h.menu.SetVisible(there)
	if there {
		h.avatar.Show(x.Picked, x.Title, x.Avatar, viewmodel.PresenceNone) // the line below says it
	}
	h.title.SetText(x.Title)
	h.line.SetText(x.Line)
	h.line.SetVisible(x.Line != "")
	widget.SetClass(h.line, "ok", x.Presence == viewmodel.Online)
	icon := "channel-secure-symbolic"
	switch x.Lock {
	case viewmodel.Verified:
		icon = "security-high-symbolic"
	case viewmodel.KeyChanged:
		icon = "security-low-symbolic"
	case viewmodel.NotEncrypted:
		icon = "changes-allow-symbolic"
	}
	h.open.SetVisible(x.Lock == viewmodel.NotEncrypted)
	h.lock.SetFromIconName(icon, gtk.ICON_SIZE_MENU)
	h.lock.SetPixelSize(12)
	h.lock.SetTooltipText(x.LockText)
	gtkx.SetName(h.lock, x.LockText)
	widget.SetClass(h.lock, "danger", x.Lock == viewmodel.KeyChanged || x.Lock == viewmodel.NotEncrypted)
	gtkx.SetName(h.person, x.Title+", "+x.Line+", "+x.LockText)
	if x.Warning != "" {
		h.text.SetText(x.Warning)
	}
	h.review.SetVisible(x.Lock == viewmodel.KeyChanged)
	h.banner.SetRevealChild(x.Warning != "")
}

// explain says, at the first chat in which nothing is encrypted, what that means.
func (h *header) explain(x viewmodel.Header) {
	w := h.pane.window
	if x.Lock != viewmodel.NotEncrypted || h.explaining || w.Preferences().Value.Get().ToldOpenChat || !w.Native().GetVisible() {
		return
	}
	h.explaining = true
	t := w.Texts()
	widget.Later(func() {
		defer func() { h.explaining = false }()
		if h.pane.model.Header.Get().Lock != viewmodel.NotEncrypted {
			return
		}
		h.pane.failed(w.Preferences().Set(func(p *viewmodel.Preferences) { p.ToldOpenChat = true }))
		widget.Tell(w.Native(), t.T("This chat is not encrypted"), t.T("It is with people who use the chat program of 2019. Everybody on the way, in your network or theirs, can read what is written here, change it, and write in anybody's name. An open red lock marks such chats.")+"\n\n"+
			t.T("Messages get one tick when they have left this computer; nobody confirms that they came. There are texts, pictures and files, and nothing more."), t.T("I understand"))
	})()
}

// items are the rows of the chat's menu.
func (h *header) items() []widget.MenuItem {
	p := h.pane
	t, x := p.window.Texts(), p.model.Header.Get()
	var items []widget.MenuItem
	if x.User != "" {
		items = append(items, widget.MenuItem{Text: t.T("Show contact"), Icon: "avatar-default-symbolic", Do: h.showPerson})
	}
	if x.Group != nil || x.User == "" && x.Lock == viewmodel.NotEncrypted {
		items = append(items, widget.MenuItem{Text: t.T("About the group"), Icon: "system-users-symbolic", Do: h.showPerson})
	}
	items = append(items, widget.MenuItem{Text: t.T("Search"), Keys: "Ctrl+F", Icon: "edit-find-symbolic", Do: func() { p.find.open() }})
	mute := widget.MenuItem{Text: t.T("Mute"), Icon: "audio-volume-muted-symbolic", Do: func() { p.model.Mute(!x.Muted) }}
	if x.Muted {
		mute.Text, mute.Icon = t.T("Unmute"), "audio-volume-high-symbolic"
	}
	pin := widget.MenuItem{Text: t.T("Pin"), Icon: "view-pin-symbolic", Do: func() { p.model.Pin(!x.Pinned) }}
	if x.Pinned {
		pin.Text = t.T("Unpin")
	}
	items = append(items, mute, pin)
	if s := p.window.Session(); s.Chats.Removable(x.Chat) {
		items = append(items, widget.MenuItem{Text: t.T("Remove chat…"), Icon: "user-trash-symbolic", Danger: true, Do: func() { widget.AskRemoveChat(p.window, x.Chat) }})
	}
	for i, a := range p.window.Session().Plugins.Actions(pluginpb.Place_PLACE_CHAT_HEADER, "") {
		if i == 0 {
			items = append(items, widget.MenuItem{})
		}
		items = append(items, widget.MenuItem{
			Text: p.window.Session().Label(a.Action.GetLabel()), Icon: a.Action.GetIcon(), Do: func() { p.model.RunHere(a) },
		})
	}
	return items
}
