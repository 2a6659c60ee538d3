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
		widget.Clear(members)
		for _, user := range row.Chat.GetMembers() {
			members.PackStart(net2019Member(w, d, user), false, false, 0)
		}
		members.ShowAll()
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
func net2019Member(w widget.Window, d *dialog, user string) *gtk.Box {
	t, s := w.Texts(), w.Session()
	own := user == s.User()
	name, id, page := s.Contacts.Name(user), user, t.T("Contact page")
	if own {
		id, page = "net2019:"+s.Status.Get().GetNet2019().GetId(), t.T("My profile")
	}
	if id == name {
		id = ""
	}
	row := widget.Class(personLine(w, user, name, id), "member")
	row.PackEnd(widget.MenuButton("view-more-symbolic", t.F("More about %s", name), func() []widget.MenuItem {
		return []widget.MenuItem{{Icon: "avatar-default-symbolic", Text: page, Do: func() {
			d.close()
			w.ShowPerson(user)
		}}}
	}), false, false, 0)
	gtkx.SetRole(row, gtkx.RoleListItem)
	gtkx.SetName(row, name)
	return row
}
