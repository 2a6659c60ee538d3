package roster

import (
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// drawnMembers is how many members are shown at first, and then each time that more
// are asked for.
const drawnMembers = 30

// ShowGroup shows the page of a group.
func ShowGroup(w widget.Window, chat string) {
	if viewmodel.IsNet2019(chat) {
		showNet2019Group(w, chat)
		return
	}
	newGroupPage(w, chat)
}

func newGroupPage(w widget.Window, chat string) *groupPage {
	p := &groupPage{window: w, chat: chat, groups: w.Session().Groups, model: w.Session().OpenGroup(chat)}
	p.dialog = newDialog(w, w.Texts().T("About the group"), 460, 700)
	p.dialog.own(p.model.Close)
	p.dialog.escape = p.escape
	p.build()
	p.dialog.own(p.model.View.Observe(p.draw))
	// The main window says it as well, but this one may lie above where.
	p.dialog.own(w.Session().Failures.Observe(p.fail))
	p.dialog.native.ShowAll()
	p.first.GrabFocus()
	return p
}

// groupPage is the page of a group.
type groupPage struct {
	window widget.Window
	chat   string
	groups *viewmodel.Groups
	model  *viewmodel.GroupPage
	dialog *dialog
	shown  viewmodel.GroupView

	avatar            *widget.Avatar
	title, line       *gtk.Label
	description       *gtk.Label
	problem           *gtk.Label
	pictures          *gtk.Box
	noPicture         *gtk.Button
	edit              *gtk.Button
	form              *gtk.Box
	name              *field
	about             *gtk.TextView
	kept              bool // what was written in the form, which Escape put away
	mute, pin, invite *gtk.Button
	history           *gtk.Box
	past              *gtk.CheckButton
	setting           bool // past is set here, not by a person
	members           *widget.Rows[viewmodel.MemberRow, *memberRow]
	leave             *gtk.Box
	first             *gtk.Button
}

func (p *groupPage) build() {
	w, t, s := p.window, p.window.Texts(), p.window.Session()
	p.avatar = widget.NewAvatar(w, widget.AvatarLarge)
	p.title = centered(widget.Label("", "name"))
	p.line = centered(widget.Label("", "dim"))
	p.description = hidden(centered(widget.Label("")))
	p.description.SetSelectable(true)
	p.description.SetCanFocus(false)
	p.problem = hidden(centered(widget.Label("", "danger", "small")))
	gtkx.SetRole(p.problem, gtkx.RoleAlert)

	p.mute = widget.Button("", func() { s.Chats.Mute(p.chat, !p.shown.Muted) })
	p.pin = widget.Button("", func() { s.Chats.Pin(p.chat, !p.shown.Pinned) })
	p.edit = hidden(widget.Button(t.T("Edit"), p.beginEdit))
	p.first = p.mute
	actions := widget.Row(8, p.mute, p.pin, p.edit)
	actions.SetHAlign(gtk.ALIGN_CENTER)
	p.buildForm()

	p.invite = hidden(widget.Button(t.T("Invite people"), func() { showInvite(w, p.dialog.native, p.chat) }, "suggested-action"))
	p.invite.SetHAlign(gtk.ALIGN_END)
	heading := widget.Row(8, widget.Label(t.T("Members"), "title"))
	heading.PackEnd(p.invite, false, false, 0)
	find := widget.Must(gtk.SearchEntryNew())
	find.SetPlaceholderText(t.T("Search a member"))
	gtkx.SetName(find, t.T("Search a member"))
	find.Connect("changed", func() {
		query, _ := find.GetText()
		p.model.Find(query)
	})
	members := p.newMemberList()

	p.past = widget.Must(gtk.CheckButtonNewWithLabel(t.T("People invited later can read what was written before")))
	p.past.Connect("toggled", func() {
		if !p.setting {
			p.groups.SetHistory(p.chat, historyOf(p.past.GetActive()))
		}
	})
	p.history = hidden(widget.Column(6, widget.Label(t.T("History"), "title"), p.past,
		widget.Label(t.T("It counts for what is written from now on. What is written after their invitation people can read in any case."), "dim", "small")))
	leave := widget.Button(t.T("Leave the group…"), widget.Later(p.askLeave), "destructive-action")
	leave.SetHAlign(gtk.ALIGN_CENTER)
	p.leave = hidden(widget.Column(14, widget.Must(gtk.SeparatorNew(gtk.ORIENTATION_HORIZONTAL)), leave))
	p.dialog.add(widget.Column(3, p.avatar, p.title, p.line), p.description, p.problem, actions, p.form,
		widget.Must(gtk.SeparatorNew(gtk.ORIENTATION_HORIZONTAL)), heading, find, members, p.history, p.leave)
}

// fail says what is wrong, where it is seen; or with an empty text that all is well.
func (p *groupPage) fail(problem string) {
	showText(p.problem, problem != "", problem)
	if problem != "" {
		p.dialog.scroll.GetVAdjustment().SetValue(0)
	}
}

func historyOf(past bool) viewmodel.GroupHistory {
	if past {
		return viewmodel.HistoryAll
	}
	return viewmodel.HistoryFromJoin
}

// buildForm makes what changes name, description and picture.
func (p *groupPage) buildForm() {
	t, d := p.window.Texts(), p.dialog
	failed := d.later(p.fail)
	change := widget.Button(t.T("Choose a picture…"), widget.Later(func() {
		if path := choosePicture(d.native, t.T("Choose a picture"), t.T("Choose"), t.T("Cancel"), t.T("Pictures")); path != "" {
			p.groups.SetPicture(p.chat, path, failed)
		}
	}))
	p.noPicture = hidden(widget.Button(t.T("Remove the picture"), func() { p.groups.SetPicture(p.chat, "", failed) }))
	p.pictures = widget.Row(8, change, p.noPicture)
	p.name = newField(t.T("Name of the group"), "")
	p.about = widget.Must(gtk.TextViewNew())
	p.about.SetWrapMode(gtk.WRAP_WORD_CHAR)
	p.about.SetAcceptsTab(false)
	p.about.SetTopMargin(8)
	p.about.SetBottomMargin(8)
	p.about.SetLeftMargin(10)
	p.about.SetRightMargin(10)
	gtkx.SetName(p.about, t.T("Description"))
	scroll := widget.Class(widget.Scrolled(p.about), "field")
	scroll.SetMinContentHeight(90)
	save := widget.Button(t.T("Save"), p.save, "suggested-action")
	cancel := widget.Button(t.T("Cancel"), p.endEdit)
	p.name.entry.Connect("activate", p.save)
	p.name.entry.Connect("changed", func() { p.name.fail("") })
	buttons := widget.Row(8, save, cancel)
	p.form = hidden(widget.Class(widget.Column(10, p.pictures, p.name, widget.Column(5, widget.Label(t.T("Description"), "title", "small"), scroll), buttons), "card", "group-form"))
}

func (p *groupPage) beginEdit() {
	if !p.form.GetVisible() && !p.kept {
		p.name.entry.SetText(p.shown.Title)
		p.name.fail("")
		widget.Must(p.about.GetBuffer()).SetText(p.shown.Description)
	}
	p.kept = false
	p.form.SetVisible(true)
	p.name.entry.GrabFocus()
}

// endEdit puts the form away, and the keyboard back to where it came from.
func (p *groupPage) endEdit() {
	held := gtkx.HoldsFocus(p.form)
	p.form.SetVisible(false)
	if !held {
		return
	}
	if p.edit.GetVisible() {
		p.edit.GrabFocus()
	} else {
		p.first.GrabFocus()
	}
}

// escape puts the form away instead of the page. What was written in it is there when it
// is opened again.
func (p *groupPage) escape() bool {
	if !p.form.GetVisible() {
		return false
	}
	p.kept = true
	p.endEdit()
	return true
}

// save gives the group the name and the description that were written.
func (p *groupPage) save() {
	buffer := widget.Must(p.about.GetBuffer())
	from, to := buffer.GetBounds()
	about, _ := buffer.GetText(from, to, true)
	describe := func() {
		if about == p.shown.Description {
			p.endEdit()
			return
		}
		p.groups.Describe(p.chat, about, p.dialog.later(func(problem string) {
			p.fail(problem)
			if problem == "" {
				p.endEdit()
			}
		}))
	}
	if p.name.text() == p.shown.Title {
		describe()
		return
	}
	p.groups.Rename(p.chat, p.name.text(), p.dialog.later(func(problem string) {
		p.name.fail(problem)
		if problem == "" {
			describe()
		}
	}))
}

func (p *groupPage) draw(v viewmodel.GroupView) {
	t := p.window.Texts()
	p.shown = v
	p.avatar.Show(v.Chat, v.Title, v.Picture, viewmodel.PresenceNone)
	p.title.SetText(v.Title)
	p.line.SetText(v.Line)
	showText(p.description, v.Description != "", v.Description)
	label := func(b *gtk.Button, on bool, yes, no string) {
		if on {
			yes = no
		}
		b.SetLabel(yes)
	}
	label(p.mute, v.Muted, t.T("Mute"), t.T("Unmute"))
	label(p.pin, v.Pinned, t.T("Pin"), t.T("Unpin"))
	p.edit.SetVisible(v.May)
	p.invite.SetVisible(v.May)
	p.history.SetVisible(v.May)
	p.noPicture.SetVisible(len(v.Picture) > 0)
	if !v.May {
		p.endEdit()
	}
	p.setting = true
	p.past.SetActive(v.History == viewmodel.HistoryAll)
	p.setting = false
	p.leave.SetVisible(v.Role != viewmodel.RoleNone)
}

func (p *groupPage) askLeave() {
	t := p.window.Texts()
	explanation := t.T("You get nothing of it any more. What was written until now stays on this computer.")
	if p.shown.Role == viewmodel.RoleOwner {
		explanation += "\n" + t.T("You own the group: whoever has been an admin for longest owns it then, or else the oldest member.")
	}
	if widget.Ask(p.dialog.native, t.F("Leave %s?", p.shown.Title), explanation, t.T("Leave group"), t.T("Cancel"), true) {
		p.groups.Leave(p.chat)
		p.dialog.close()
	}
}

// newMemberList makes the members on the page.
func (p *groupPage) newMemberList() *gtk.Box {
	t, list, part := p.window.Texts(), widget.Column(0), viewmodel.NewPart(&p.model.Members, drawnMembers)
	gtkx.SetRole(list, gtkx.RoleList)
	gtkx.SetName(list, t.T("Members"))
	more := widget.Button("", func() { part.Grow(drawnMembers) }, "link")
	more.SetHAlign(gtk.ALIGN_CENTER)
	more.SetNoShowAll(true)
	none := hidden(widget.Label(t.T("Nobody found"), "dim"))
	gtkx.SetRole(none, gtkx.RoleStatusBar)
	p.members = widget.BoxRows(list, func(m viewmodel.MemberRow) *memberRow { return newMemberRow(p, m) })
	p.dialog.own(part.Close)
	p.dialog.own(part.Rows.Observe(func(steps []viewmodel.Change[viewmodel.MemberRow]) {
		p.members.Follow(steps)
		none.SetVisible(p.members.Len() == 0)
	}))
	p.dialog.own(part.Around.Observe(func(a viewmodel.Around) {
		more.SetLabel(t.N("Show %d more", "Show %d more", a.After))
		more.SetVisible(a.After > 0)
	}))
	return widget.Column(4, list, none, more)
}

// memberRow is a member on the page.
type memberRow struct {
	*gtk.Box
	page              *groupPage
	shown             viewmodel.MemberRow
	avatar            *widget.Avatar
	name, line, badge *gtk.Label
	more              *gtk.MenuButton
}

func newMemberRow(p *groupPage, m viewmodel.MemberRow) *memberRow {
	r := &memberRow{
		page: p, avatar: widget.NewAvatar(p.window, widget.AvatarSmall), name: widget.Line(""),
		line: hidden(widget.Line("", "dim", "small")), badge: hidden(widget.Line("", "chip")),
	}
	words := widget.Column(0, r.name, r.line)
	words.SetVAlign(gtk.ALIGN_CENTER)
	r.badge.SetVAlign(gtk.ALIGN_CENTER)
	r.Box = widget.Class(widget.Row(10, r.avatar), "member")
	r.PackStart(words, true, true, 0)
	r.more = widget.MenuButton("view-more-symbolic", "", r.menu)
	r.PackEnd(r.more, false, false, 0)
	r.PackEnd(r.badge, false, false, 0)
	gtkx.SetRole(r, gtkx.RoleListItem)
	r.Update(m)
	return r
}

// Update implements widget.RowWidget.
func (r *memberRow) Update(m viewmodel.MemberRow) {
	t := r.page.window.Texts()
	r.shown = m
	r.avatar.Show(m.User, m.Name, m.Avatar, m.Presence)
	r.name.SetText(m.Name)
	showText(r.line, m.Line != "", m.Line)
	showText(r.badge, m.Badge != "", m.Badge)
	widget.NameIcon(r.more, t.F("More about %s", m.Name))
	spoken := m.Name
	if m.Line != "" {
		spoken += ", " + m.Line
	}
	if m.Badge != "" {
		spoken += ", " + m.Badge
	}
	if m.Presence == viewmodel.Online {
		spoken += ", " + t.T("online")
	}
	gtkx.SetName(r, spoken)
}

// menu is what one may do about a member.
func (r *memberRow) menu() []widget.MenuItem {
	p, t, m := r.page, r.page.window.Texts(), r.shown
	page := t.T("Contact page")
	if m.User == p.window.Session().User() {
		page = t.T("My profile")
	}
	items := []widget.MenuItem{{Icon: "avatar-default-symbolic", Text: page, Do: func() {
		p.dialog.close()
		p.window.ShowPerson(m.User)
	}}}
	add := func(may bool, icon, text string, danger bool, do func()) {
		if may {
			items = append(items, widget.MenuItem{Icon: icon, Text: text, Danger: danger, Do: do})
		}
	}
	add(m.MayPromote, "starred-symbolic", t.T("Make an admin"), false, func() { p.groups.SetRole(p.chat, m.User, viewmodel.RoleAdmin) })
	add(m.MayDismiss, "non-starred-symbolic", t.T("Take the admin role"), false, func() { p.groups.SetRole(p.chat, m.User, viewmodel.RoleMember) })
	add(m.MayHandOver, "emblem-default-symbolic", t.T("Make the owner…"), false, func() {
		if widget.Ask(p.dialog.native, t.F("Make %s the owner?", m.Name), t.T("You become an admin. Only the new owner can give the group back."), t.T("Hand over"), t.T("Cancel"), true) {
			p.groups.SetRole(p.chat, m.User, viewmodel.RoleOwner)
		}
	})
	if m.Role == viewmodel.RoleInvited {
		add(m.MayRemove, "user-trash-symbolic", t.T("Take the invitation back"), true, func() { p.groups.Remove(p.chat, m.User) })
		return items
	}
	add(m.MayRemove, "user-trash-symbolic", t.T("Remove from the group…"), true, func() {
		if widget.Ask(p.dialog.native, t.F("Remove %s from the group?", m.Name), t.T("They get nothing of it any more, and everybody in it sees this."), t.T("Remove"), t.T("Cancel"), true) {
			p.groups.Remove(p.chat, m.User)
		}
	})
	return items
}
