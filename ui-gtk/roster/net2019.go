package roster

import (
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/texts"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// openNote says on a page that nothing is encrypted, and what that means.
func openNote(t *texts.Texts) *gtk.Box {
	lock := widget.OpenLock(t.T("Not encrypted"), true)
	lock.SetHAlign(gtk.ALIGN_CENTER)
	return widget.Column(4, lock,
		centered(widget.Label(t.T("Everybody on the way can read what you write to each other, change it, and write in anybody's name."), "dim", "small")))
}

// showNet2019Group shows the page of a group of 2019, which has people and nothing
// else.
func showNet2019Group(w widget.Window, chat string) {
	t, s := w.Texts(), w.Session()
	d := newDialog(w, t.T("About the group"), 440, 640)
	avatar := widget.NewAvatar(w, widget.AvatarLarge)
	title, line := centered(widget.Label("", "name")), centered(widget.Label("", "dim"))
	mute, pin := widget.Button("", nil), widget.Button("", nil)
	mute.Connect("clicked", func() { s.Chats.Mute(chat, !s.Chats.Get(chat).GetMuted()) })
	pin.Connect("clicked", func() { s.Chats.Pin(chat, !s.Chats.Get(chat).GetPinned()) })
	actions := widget.Row(8, mute, pin)
	actions.SetHAlign(gtk.ALIGN_CENTER)
	members := widget.Column(4)
	var shown []viewmodel.MemberRow
	rows := widget.BoxRows(members, func(m viewmodel.MemberRow) *net2019Member { return newNet2019Member(w, d, m) })
	gtkx.SetRole(members, gtkx.RoleList)
	gtkx.SetName(members, t.T("Members"))
	leave := widget.Button(t.T("Leave the group…"), widget.Later(func() {
		if widget.Ask(d.native, t.T("Leave the group?"), t.T("The others are told, and their programs take no more of it from you. What was said in it stays here."), t.T("Leave"), t.T("Cancel"), true) {
			s.LeaveNet2019(chat, false)
			d.close()
		}
	}), "destructive-action")
	leave.SetHAlign(gtk.ALIGN_CENTER)
	d.add(widget.Column(3, avatar, title, line), openNote(t), actions, widget.Must(gtk.SeparatorNew(gtk.ORIENTATION_HORIZONTAL)),
		widget.Label(t.T("Members"), "title"), members, widget.Must(gtk.SeparatorNew(gtk.ORIENTATION_HORIZONTAL)), leave)

	draw := func() {
		row, ok := s.Chats.Row(chat)
		if !ok {
			d.close()
			return
		}
		avatar.Show(row.Picked(), row.Title, row.Avatar(), viewmodel.PresenceNone)
		title.SetText(row.Title)
		line.SetText(s.GroupLine(chat))
		choose := map[bool]string{true: t.T("Unmute"), false: t.T("Mute")}
		mute.SetLabel(choose[row.Chat.GetMuted()])
		choose = map[bool]string{true: t.T("Unpin"), false: t.T("Pin")}
		pin.SetLabel(choose[row.Chat.GetPinned()])
		was := shown
		shown = s.Net2019Members(chat)
		rows.Follow(viewmodel.Diff(was, shown))
	}
	d.own(s.Chats.Changed.Observe(func(id string) {
		if id == chat {
			draw()
		}
	}))
	d.own(s.Contacts.Changed.Observe(func(string) { draw() }))
	draw()
	if d.closed {
		return
	}
	d.native.ShowAll()
	mute.GrabFocus()
}

// net2019Member is a member of a group of 2019, with what one may do about them.
type net2019Member struct {
	*personLine
	window widget.Window
	more   *gtk.MenuButton
}

func newNet2019Member(w widget.Window, d *dialog, m viewmodel.MemberRow) *net2019Member {
	t := w.Texts()
	page := t.T("Contact page")
	if m.User == w.Session().User() {
		page = t.T("My profile")
	}
	r := &net2019Member{window: w, personLine: newPersonLine(w)}
	widget.Class(r, "member")
	r.more = widget.MenuButton("view-more-symbolic", "", func() []widget.MenuItem {
		return []widget.MenuItem{{Icon: "avatar-default-symbolic", Text: page, Do: func() {
			d.close()
			w.ShowPerson(m.User)
		}}}
	})
	r.PackEnd(r.more, false, false, 0)
	gtkx.SetRole(r, gtkx.RoleListItem)
	r.Update(m)
	return r
}

// Update implements widget.RowWidget.
func (r *net2019Member) Update(m viewmodel.MemberRow) {
	r.show(m.User, m.Name, m.Line)
	widget.NameIcon(r.more, r.window.Texts().F("More about %s", m.Name))
	gtkx.SetName(r, m.Name)
}
