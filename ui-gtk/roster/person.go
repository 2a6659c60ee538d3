package roster

import (
	"slices"
	"strings"

	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// ShowPerson shows the page of a person, or one's own.
func ShowPerson(w widget.Window, user string) {
	if user == w.Session().User() {
		showSelf(w)
	} else {
		newPersonPage(w, user)
	}
}

// personPage is the page of another.
type personPage struct {
	window widget.Window
	user   string
	model  *viewmodel.Person
	dialog *dialog

	avatar                         *widget.Avatar
	name, display, standing, path  *gtk.Label
	greeting                       *gtk.Label
	open                           *gtk.Box
	actions                        *gtk.Box
	chat, mute, accept, decline    *gtk.Button
	add                            *gtk.Button
	trouble, changed               *gtk.Box
	troubleText, changedText       *gtk.Label
	nickname                       *field
	nicknameBox                    *gtk.Box
	newNumber, number              *safetyNumber
	safety                         *gtk.Box
	verified                       *gtk.Label
	verify, block, remove, unblock *gtk.Button
}

func newPersonPage(w widget.Window, user string) *personPage {
	p := &personPage{window: w, user: user, model: w.Session().OpenPerson(user)}
	p.dialog = newDialog(w, w.Texts().T("Contact page"), 440, 680)
	p.dialog.own(p.model.Close)
	p.build()
	p.dialog.own(p.model.View.Observe(p.draw))
	p.dialog.native.ShowAll()
	return p
}

// hidden makes a widget that is shown only when it is needed.
func hidden[T interface {
	gtk.IWidget
	SetNoShowAll(bool)
}](w T,
) T {
	if c, ok := any(w).(interface{ ShowAll() }); ok {
		c.ShowAll()
	}
	w.SetNoShowAll(true)
	w.ToWidget().Hide()
	return w
}

func centered(l *gtk.Label) *gtk.Label {
	l.SetXAlign(0.5)
	l.SetJustify(gtk.JUSTIFY_CENTER)
	return l
}

func (p *personPage) build() {
	w, t, s := p.window, p.window.Texts(), p.window.Session()
	c := s.Contacts
	p.avatar = widget.NewAvatar(w, widget.AvatarLarge)
	p.name = centered(widget.Label("", "name"))
	id := centered(widget.Label(p.user, "dim"))
	id.SetSelectable(true)
	id.SetCanFocus(false)
	p.display = hidden(centered(widget.Label("", "dim")))
	p.standing = centered(widget.Label(""))
	p.path = hidden(centered(widget.Label("", "dim", "small")))
	p.greeting = hidden(centered(widget.Label("")))
	p.open = hidden(openNote(t))

	p.chat = hidden(widget.Button(t.T("Write a message"), func() {
		p.dialog.close()
		w.OpenChat(p.model.View.Get().Chat, nil)
	}, "suggested-action"))
	p.mute = hidden(widget.Button(t.T("Mute"), func() {
		v := p.model.View.Get()
		s.Chats.Mute(v.Chat, !v.Muted)
	}))
	p.accept = hidden(widget.Button(t.T("Accept"), func() { c.Answer(p.user, true) }, "suggested-action"))
	p.decline = hidden(widget.Button(t.T("Decline"), func() { c.Answer(p.user, false) }))
	p.add = hidden(widget.Button(t.T("Add as a contact"), func() {
		p.dialog.close()
		w.ShowAddContact(p.user)
	}, "suggested-action"))
	p.actions = widget.Row(8, p.chat, p.mute, p.accept, p.decline, p.add)
	p.actions.SetHAlign(gtk.ALIGN_CENTER)

	p.troubleText = widget.Label("")
	p.trouble = hidden(widget.Class(widget.Column(4, p.troubleText), "warning"))
	p.buildChanged()
	p.buildNickname()
	p.buildSafety()
	p.block = hidden(widget.Button(t.T("Block"), widget.Later(func() { askBlock(w, p.user) })))
	p.unblock = hidden(widget.Button(t.T("Unblock"), func() { c.Block(p.user, false) }))
	p.remove = hidden(widget.Button(t.T("Remove…"), widget.Later(func() { askRemove(w, p.user) }), "destructive-action"))
	ending := widget.Row(8, p.block, p.unblock, p.remove)
	ending.SetHAlign(gtk.ALIGN_CENTER)
	top := widget.Column(3, p.avatar, p.name, id, p.display, p.standing, p.path)
	p.dialog.add(top, p.open, p.greeting, p.actions, p.changed, p.trouble, p.nicknameBox, p.safety, ending)
}

func (p *personPage) buildChanged() {
	t := p.window.Texts()
	p.changedText = widget.Label("")
	p.newNumber = newSafetyNumber(t.T("New safety number"))
	accept := widget.Button(t.T("Accept the new number"), func() {
		p.window.Session().Contacts.AcceptKeys(p.user, strings.Join(p.model.View.Get().NewSafety, " "))
	}, "suggested-action")
	accept.SetHAlign(gtk.ALIGN_CENTER)
	p.changed = hidden(widget.Class(widget.Column(10, widget.Label(t.T("The safety number has changed"), "title"), p.changedText, p.newNumber.box, accept), "warning"))
	gtkx.SetRole(p.changed, gtkx.RoleAlert)
}

func (p *personPage) buildNickname() {
	t := p.window.Texts()
	p.nickname = newField(t.T("Nickname"), t.T("What you call this person; only you see it"))
	p.nickname.entry.SetText(p.model.View.Get().Nickname)
	save := widget.Button(t.T("Save"), nil)
	set := func() {
		p.model.Rename(p.nickname.text(), p.dialog.later(func(problem string) {
			p.nickname.fail(problem)
			save.SetSensitive(problem != "")
		}))
	}
	save.Connect("clicked", set)
	save.SetSensitive(false)
	save.SetHAlign(gtk.ALIGN_START)
	p.nickname.entry.Connect("activate", set)
	p.nickname.entry.Connect("changed", func() {
		p.nickname.fail("")
		save.SetSensitive(true)
	})
	p.nicknameBox = hidden(widget.Column(8, p.nickname, save))
}

func (p *personPage) buildSafety() {
	t := p.window.Texts()
	p.number = newSafetyNumber(t.T("Safety number"))
	p.verified = hidden(widget.Label(t.T("✓ You have compared it"), "ok"))
	p.verify = widget.Button("", func() { p.window.Session().Contacts.Verify(p.user, !p.model.View.Get().Verified) })
	p.verify.SetHAlign(gtk.ALIGN_START)
	p.safety = hidden(widget.Column(10, widget.Label(t.T("Safety number"), "title"),
		widget.Label(t.T("Compare it in person or over the phone: when both see the same number, nobody stands between you."), "dim"),
		p.number.box, p.verified, p.verify))
	p.verified.Hide()
}

func (p *personPage) draw(v viewmodel.PersonView) {
	t := p.window.Texts()
	p.avatar.Show(v.User, v.Name, v.Avatar, v.Presence)
	p.name.SetText(v.Name)
	showText(p.display, v.DisplayName != "" && v.DisplayName != v.Name, t.F("calls themselves %s", v.DisplayName))
	p.standing.SetText(v.Standing)
	showText(p.path, v.Path != "", v.Path)
	showText(p.greeting, v.Greeting != "" && v.State == controlpb.ContactState_CONTACT_STATE_INCOMING, t.F("“%s”", v.Greeting))

	p.open.SetVisible(v.Open)
	incoming := v.State == controlpb.ContactState_CONTACT_STATE_INCOMING
	blocked := v.State == controlpb.ContactState_CONTACT_STATE_BLOCKED
	p.chat.SetVisible(v.Chat != "")
	p.mute.SetVisible(v.Chat != "")
	if v.Muted {
		p.mute.SetLabel(t.T("Unmute"))
	} else {
		p.mute.SetLabel(t.T("Mute"))
	}
	p.accept.SetVisible(incoming)
	p.decline.SetVisible(incoming)
	p.add.SetVisible(!v.Known || v.State == controlpb.ContactState_CONTACT_STATE_LEFT)
	p.block.SetVisible(!blocked)
	p.unblock.SetVisible(blocked)
	p.remove.SetVisible(v.Known && !incoming)

	p.trouble.SetVisible(v.Trouble != "")
	p.troubleText.SetText(v.Trouble)
	p.changed.SetVisible(v.KeyChanged)
	p.changedText.SetText(t.F("%s may have a new device, or somebody may stand between you. Nothing is sent until you accept the new number. Ask before you do.", v.Name))
	p.newNumber.show(v.NewSafety)
	p.nicknameBox.SetVisible(v.Known)
	p.safety.SetVisible(len(v.Safety) > 0 && !v.KeyChanged) // one number at a time
	p.number.show(v.Safety)
	p.verified.SetVisible(v.Verified)
	if v.Verified {
		p.verify.SetLabel(t.T("Not compared after all"))
	} else {
		p.verify.SetLabel(t.T("Mark as compared"))
	}
}

func showText(l *gtk.Label, on bool, text string) {
	l.SetText(text)
	l.SetVisible(on)
}

// safetyNumber shows a safety number in three columns, and as a QR code.
type safetyNumber struct {
	box   *gtk.Box
	name  string
	shown []string
}

func newSafetyNumber(name string) *safetyNumber {
	return &safetyNumber{box: widget.Column(10), name: name}
}

func (n *safetyNumber) show(groups []string) {
	if slices.Equal(groups, n.shown) {
		return
	}
	n.shown = groups
	widget.Clear(n.box)
	if len(groups) == 0 {
		return
	}
	const columns = 4
	var lines []string
	for row := range slices.Chunk(groups, columns) {
		lines = append(lines, strings.Join(row, "  "))
	}
	digits := centered(widget.Label(strings.Join(lines, "\n"), "safety"))
	digits.SetSelectable(true)
	digits.SetCanFocus(false)
	digits.SetLineWrap(false)
	gtkx.SetName(digits, n.name+" "+strings.Join(groups, " "))
	n.box.PackStart(digits, false, false, 0)
	n.box.PackStart(qrCode(strings.Join(groups, ""), n.name), false, false, 0)
	n.box.ShowAll()
}

// showSelf shows one's own page.
func showSelf(w widget.Window) {
	t, s := w.Texts(), w.Session()
	model := s.OpenPerson(s.User())
	d := newDialog(w, t.T("My profile"), 440, 680)
	d.own(model.Close)
	v := model.View.Get()

	avatar := widget.NewAvatar(w, widget.AvatarLarge)
	id := centered(widget.Label(v.User, "dim"))
	id.SetSelectable(true)
	id.SetCanFocus(false)
	problem := hidden(centered(widget.Label("", "danger", "small")))
	gtkx.SetRole(problem, gtkx.RoleAlert)
	set := func(path string) {
		s.SetAvatar(path, d.later(func(text string) { showText(problem, text != "", text) }))
	}
	change := widget.Button(t.T("Choose a picture…"), widget.Later(func() {
		if path := choosePicture(d.native, t.T("Choose a picture"), t.T("Choose"), t.T("Cancel"), t.T("Pictures")); path != "" {
			set(path)
		}
	}))
	remove := hidden(widget.Button(t.T("Remove the picture"), func() { set("") }))
	pictures := widget.Row(8, change, remove)
	pictures.SetHAlign(gtk.ALIGN_CENTER)

	name := newField(t.T("Display name"), t.T("What others see instead of your user id"))
	name.entry.SetText(v.DisplayName)
	save := widget.Button(t.T("Save"), nil)
	setName := func() {
		s.SetDisplayName(name.text(), d.later(func(problem string) {
			name.fail(problem)
			save.SetSensitive(problem != "")
		}))
	}
	save.Connect("clicked", setName)
	save.SetSensitive(false)
	save.SetHAlign(gtk.ALIGN_START)
	name.entry.Connect("activate", setName)
	name.entry.Connect("changed", func() {
		name.fail("")
		save.SetSensitive(true)
	})

	device := widget.Label(v.Device, "dim", "monospace", "small")
	device.SetSelectable(true)
	device.SetCanFocus(false)
	key := widget.Column(6, widget.Label(t.T("Key of this device"), "title"),
		widget.Label(t.T("Safety numbers are made of your keys and those of a contact: compare them on the page of the contact."), "dim"), device)
	d.add(widget.Column(4, avatar, id), pictures, problem, name, save, widget.Must(gtk.SeparatorNew(gtk.ORIENTATION_HORIZONTAL)),
		linkBox(w, v.Link), widget.Must(gtk.SeparatorNew(gtk.ORIENTATION_HORIZONTAL)), key)
	d.own(model.View.Observe(func(v viewmodel.PersonView) {
		avatar.Show(v.User, v.Name, v.Avatar, viewmodel.PresenceNone)
		remove.SetVisible(len(v.Avatar) > 0)
	}))
	d.native.ShowAll()
	change.GrabFocus()
}

// choosePicture asks for a file; empty when none was chosen.
func choosePicture(above *gtk.Window, title, choose, cancel, kinds string) string {
	d := widget.Must(gtk.FileChooserNativeDialogNew(title, above, gtk.FILE_CHOOSER_ACTION_OPEN, choose, cancel))
	defer d.Destroy()
	filter := widget.Must(gtk.FileFilterNew())
	filter.SetName(kinds)
	for _, kind := range []string{"image/png", "image/jpeg", "image/gif", "image/webp"} {
		filter.AddMimeType(kind)
	}
	d.AddFilter(filter)
	if gtk.ResponseType(d.Run()) != gtk.RESPONSE_ACCEPT {
		return ""
	}
	return d.GetFilename()
}
