package roster

import (
	"fmt"
	"slices"

	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"
	"github.com/gotk3/gotk3/pango"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

const (
	// drawnChats is how many rows there are as widgets. Those before and after are
	// empty space, which is filled when it comes into sight.
	drawnChats = 80
	// nearEdge is how many rows before the end of what is drawn more are made.
	nearEdge = 15
	// rowHeight is that of a row until one was measured, in pixels.
	rowHeight = 62
)

// chatList is the requests and the chats.
type chatList struct {
	window        widget.Window
	scroll        *gtk.ScrolledWindow
	requests      *requestList
	before, after *gtk.Box
	list          *gtk.ListBox
	empty         *gtk.Box
	part          *viewmodel.Part[viewmodel.ChatRow]
	rows          *widget.Rows[viewmodel.ChatRow, *chatRow]
	quiet         bool // what is selected is not a person's choice
	pressed       bool // the mouse is about to select, which opens nothing yet
	menu          *gtk.Popover
	closed        bool // what was put off is not done any more
}

func newChatList(w widget.Window, lost func()) *chatList {
	l := &chatList{window: w, before: widget.Column(0), after: widget.Column(0)}
	l.list = widget.Must(gtk.ListBoxNew())
	gtkx.SetName(l.list, w.Texts().T("Chats"))
	l.requests = newRequestList(w, lost)
	l.empty = emptyList(w)
	column := widget.Column(0, l.requests.box, l.empty, l.before, l.list, l.after)
	l.scroll = widget.Scrolled(column)
	l.list.SetAdjustment(l.scroll.GetVAdjustment())
	l.rows = widget.ListRows(l.list, func(r viewmodel.ChatRow) *chatRow { return newChatRow(w, r) })
	l.connect()

	s := w.Session()
	l.part = viewmodel.NewPart(&s.Chats.Rows, drawnChats)
	w.Own(func() { l.closed = true })
	w.Own(l.part.Close)
	w.Own(l.part.Rows.Observe(l.draw))
	w.Own(l.part.Around.Observe(l.space))
	w.Own(s.Panes.Chat.Observe(func(string) {
		l.mark()
		glib.IdleAdd(l.reveal) // once the rows have their places
	}))
	look := func() { l.empty.SetVisible(s.Chats.Rows.Len() == 0 && s.Contacts.Rows.Len() == 0) }
	w.Own(s.Chats.Rows.Observe(func([]viewmodel.Change[viewmodel.ChatRow]) { look() }))
	w.Own(s.Contacts.Rows.Observe(func([]viewmodel.Change[viewmodel.ContactRow]) { look() }))
	look()
	return l
}

// emptyList explains a list without anybody.
func emptyList(w widget.Window) *gtk.Box {
	t := w.Texts()
	icon := widget.Icon("system-users-symbolic", gtk.ICON_SIZE_DIALOG, "dim")
	title := widget.Label(t.T("No chats yet"), "title")
	text := widget.Label(t.T("Add a contact with Ctrl+N. Once the answer is yes, you can write to each other."), "dim")
	for _, l := range []*gtk.Label{title, text} {
		l.SetXAlign(0.5)
		l.SetJustify(gtk.JUSTIFY_CENTER)
		l.SetMaxWidthChars(28)
	}
	add := widget.Button(t.T("Add a contact"), func() { w.ShowAddContact("") }, "suggested-action")
	add.SetHAlign(gtk.ALIGN_CENTER)
	box := widget.Class(widget.Column(12, icon, title, text, add), "roster-empty")
	box.ShowAll()
	box.SetNoShowAll(true)
	return box
}

func (l *chatList) connect() {
	l.list.Connect("row-activated", func(_ *gtk.ListBox, row *gtk.ListBoxRow) {
		l.pressed = false
		l.open(row.GetIndex())
	})
	l.list.Connect("row-selected", func(_ *gtk.ListBox, row *gtk.ListBoxRow) {
		// Keys that walk the list select the row that they have come to. What selects
		// another one is assistive technology, which cannot activate rows.
		if row != nil && !l.quiet && !l.pressed && !row.IsFocus() {
			l.open(row.GetIndex())
		}
	})
	l.list.Connect("button-press-event", func(_ *gtk.ListBox, e *gdk.Event) bool {
		b := gdk.EventButtonNewFromEvent(e)
		if b.Button() != gdk.BUTTON_SECONDARY {
			l.pressed = true
			return false
		}
		if row := l.list.GetRowAtY(int(b.Y())); row != nil {
			l.showMenu(row.GetIndex())
		}
		return true
	})
	l.list.Connect("popup-menu", func() bool {
		at := l.focused()
		if at < 0 {
			return false
		}
		l.showMenu(at)
		return true
	})
	l.list.Connect("set-focus-child", func() { glib.IdleAdd(l.left) })
	l.scroll.GetVAdjustment().Connect("value-changed", l.follow)
}

// open opens the chat of a row.
func (l *chatList) open(at int) {
	if at >= 0 && at < l.rows.Len() {
		l.window.OpenChat(l.rows.All()[at].id, nil)
	}
}

// focused is the row that has the keyboard, or the one that is selected, or -1.
func (l *chatList) focused() int {
	for i, r := range l.rows.All() {
		if r.IsFocus() {
			return i
		}
	}
	if row := l.list.GetSelectedRow(); row != nil {
		return row.GetIndex()
	}
	return -1
}

// focus gives the keyboard to the list.
func (l *chatList) focus() bool {
	if l.rows.Len() == 0 {
		return false
	}
	at := max(0, l.focused())
	l.rows.All()[at].GrabFocus()
	return true
}

// mark selects the row of the chat that is open.
func (l *chatList) mark() {
	l.quiet = true
	defer func() { l.quiet = false }()
	current := l.window.Session().Panes.Chat.Get()
	for _, r := range l.rows.All() {
		if r.id == current {
			l.list.SelectRow(r.ListBoxRow)
			return
		}
	}
	l.list.UnselectAll()
}

// left marks the chat that is open again, once the keyboard has walked out of the list.
func (l *chatList) left() {
	if !l.closed && !gtkx.HoldsFocus(l.list) {
		l.pressed = false
		l.mark()
	}
}

// reveal brings the row of the chat that is open into sight.
func (l *chatList) reveal() {
	if l.closed {
		return
	}
	chat := l.window.Session().Panes.Chat.Get()
	at := slices.IndexFunc(l.window.Session().Chats.Rows.Rows(), func(r viewmodel.ChatRow) bool { return r.RowKey() == chat })
	if at < 0 {
		return
	}
	h := l.height()
	top := l.before.GetAllocation().GetY() + at*h
	for _, r := range l.rows.All() {
		if a := r.GetAllocation(); r.id == chat && a.GetHeight() > 1 {
			top, h = l.list.GetAllocation().GetY()+a.GetY(), a.GetHeight()
		}
	}
	adjustment := l.scroll.GetVAdjustment()
	value, page := adjustment.GetValue(), adjustment.GetPageSize()
	adjustment.SetValue(min(max(value, float64(top+h)-page), float64(top)))
}

func (l *chatList) draw(steps []viewmodel.Change[viewmodel.ChatRow]) {
	l.quiet = true
	l.rows.Follow(steps)
	l.quiet = false
	l.mark()
}

// height is that of a row, in pixels.
func (l *chatList) height() int {
	if n := l.rows.Len(); n > 0 {
		if h := l.list.GetAllocatedHeight() / n; h > 20 {
			return h
		}
	}
	return rowHeight
}

// space keeps the place of rows that are not drawn.
func (l *chatList) space(a viewmodel.Around) {
	l.before.SetSizeRequest(-1, a.Before*l.height())
	l.after.SetSizeRequest(-1, a.After*l.height())
}

// follow draws the rows that come into sight.
func (l *chatList) follow() {
	a := l.part.Around.Get()
	if a.Before == 0 && a.After == 0 {
		return
	}
	adjustment, h := l.scroll.GetVAdjustment(), l.height()
	top := int(adjustment.GetValue()) - l.before.GetAllocation().GetY() // requests are above
	first, seen := top/h, int(adjustment.GetPageSize())/h+1
	if (a.Before > 0 && first < a.Before+nearEdge) || (a.After > 0 && first+seen > a.Before+l.rows.Len()-nearEdge) {
		l.part.MoveTo(max(0, first-(drawnChats-seen)/2))
	}
}

// showMenu shows what can be done with a chat.
func (l *chatList) showMenu(at int) {
	r := l.rows.All()[at]
	if l.menu != nil {
		l.menu.Destroy()
	}
	l.menu = widget.Menu(r, func() []widget.MenuItem { return l.menuOf(r.id) })
	l.menu.Connect("destroy", func() { l.menu = nil })
	l.menu.Popup()
}

func (l *chatList) menuOf(id string) []widget.MenuItem {
	s, t := l.window.Session(), l.window.Texts()
	row, ok := s.Chats.Row(id)
	if !ok {
		return nil
	}
	choose := func(on bool, yes, no string) string {
		if on {
			return no
		}
		return yes
	}
	items := []widget.MenuItem{
		{
			Icon: "view-pin-symbolic", Text: choose(row.Chat.GetPinned(), t.T("Pin"), t.T("Unpin")),
			Do: func() { s.Chats.Pin(id, !row.Chat.GetPinned()) },
		},
		{
			Icon: "audio-volume-muted-symbolic", Text: choose(row.Chat.GetMuted(), t.T("Mute"), t.T("Unmute")),
			Do: func() { s.Chats.Mute(id, !row.Chat.GetMuted()) },
		},
	}
	if row.Chat.GetUnread() > 0 {
		items = append(items, widget.MenuItem{Icon: "object-select-symbolic", Text: t.T("Mark as read"), Do: func() { s.Chats.MarkRead(id) }})
	}
	if s.Chats.Removable(id) {
		items = append(items,
			widget.MenuItem{},
			widget.MenuItem{Icon: "user-trash-symbolic", Text: t.T("Remove chat…"), Danger: true, Do: func() { widget.AskRemoveChat(l.window, id) }})
	}
	if row.Contact != nil {
		user := row.Contact.GetUser()
		items = append(items,
			widget.MenuItem{},
			widget.MenuItem{Icon: "avatar-default-symbolic", Text: t.T("Contact page"), Do: func() { l.window.ShowPerson(user) }},
			widget.MenuItem{Icon: "user-trash-symbolic", Text: t.T("Remove…"), Danger: true, Do: func() { askRemove(l.window, user) }})
	}
	return items
}

// chatRow is the row of a chat.
type chatRow struct {
	*gtk.ListBoxRow
	window widget.Window
	id     string
	avatar *widget.Avatar
	title  *gtk.Label
	open   *gtk.Box // the lock of what is not encrypted
	when   *gtk.Label
	sign   *gtk.Image
	draft  *gtk.Label
	line   *gtk.Label
	pinned *gtk.Image
	muted  *gtk.Image
	pill   *gtk.Label
}

func newChatRow(w widget.Window, row viewmodel.ChatRow) *chatRow {
	t := w.Texts()
	r := &chatRow{
		ListBoxRow: widget.Class(widget.Must(gtk.ListBoxRowNew()), "chat-row"), window: w, id: row.RowKey(),
		avatar: widget.NewAvatar(w, widget.AvatarMedium), title: widget.Line("", "title"), open: widget.OpenLock(t.T("Not encrypted"), false), when: widget.Line("", "when"),
		sign: widget.Must(gtk.ImageNew()), draft: widget.Line(t.T("Draft:"), "draft"), line: widget.Line("", "line"),
		pinned: widget.Icon("view-pin-symbolic", gtk.ICON_SIZE_MENU, "mark"),
		muted:  widget.Icon("audio-volume-muted-symbolic", gtk.ICON_SIZE_MENU, "mark"),
		pill:   widget.Line("", "pill"),
	}
	r.pinned.SetPixelSize(12)
	r.muted.SetPixelSize(12)
	r.sign.SetPixelSize(14)
	r.open.ShowAll()
	for _, x := range []interface{ SetNoShowAll(bool) }{r.open, r.sign, r.draft, r.pinned, r.muted, r.pill} {
		x.SetNoShowAll(true)
	}
	r.pill.SetVAlign(gtk.ALIGN_CENTER)
	r.when.SetEllipsize(pango.ELLIPSIZE_NONE)
	upper := widget.Row(5)
	upper.PackStart(r.open, false, false, 0)
	upper.PackStart(r.title, false, true, 0)
	upper.PackStart(r.muted, false, false, 0)
	upper.PackEnd(r.when, false, false, 0)
	upper.PackEnd(r.pinned, false, false, 0)
	lower := widget.Row(5, r.sign, r.draft)
	lower.PackStart(r.line, true, true, 0)
	lower.PackEnd(r.pill, false, false, 0)
	words := widget.Column(3, upper, lower)
	words.SetVAlign(gtk.ALIGN_CENTER)
	both := widget.Row(11, r.avatar)
	both.PackStart(words, true, true, 0)
	r.Add(both)
	r.Update(row)
	return r
}

// signIcons are what stands before a last line that is not only text.
var signIcons = map[viewmodel.Sign]string{
	viewmodel.SignPicture: "image-x-generic-symbolic",
	viewmodel.SignFile:    "text-x-generic-symbolic",
	viewmodel.SignFolder:  "folder-symbolic",
	viewmodel.SignVoice:   "audio-input-microphone-symbolic",
	viewmodel.SignCall:    "call-start-symbolic",
	viewmodel.SignCard:    "view-list-symbolic",
	viewmodel.SignWarning: "dialog-warning-symbolic",
}

// Update implements widget.RowWidget.
func (r *chatRow) Update(row viewmodel.ChatRow) {
	c := row.Chat
	r.avatar.Show(row.Picked(), row.Title, row.Avatar(), row.Presence())
	r.title.SetText(row.Title)
	r.when.SetText(row.When)
	r.open.SetVisible(row.Open)
	icon := signIcons[row.Sign]
	if icon != "" {
		r.sign.SetFromIconName(icon, gtk.ICON_SIZE_MENU)
	}
	r.sign.SetVisible(icon != "")
	r.draft.SetVisible(row.Draft)
	r.line.SetText(row.Line)
	r.pinned.SetVisible(c.GetPinned())
	r.muted.SetVisible(c.GetMuted())
	r.pill.SetText(pillText(c))
	r.pill.SetVisible(c.GetUnread() > 0)
	widget.SetClass(r.pill, "muted", c.GetMuted())
	widget.SetClass(r.sign, "warn", row.Sign == viewmodel.SignWarning)
	widget.SetClass(r, "unread", c.GetUnread() > 0)
	gtkx.SetName(r, r.window.Session().Chats.Spoken(row))
}

// pillText is the number of unread messages, in few characters.
func pillText(c *controlpb.Chat) string {
	if c.GetUnread() > 999 {
		return "999+"
	}
	return fmt.Sprint(c.GetUnread())
}
