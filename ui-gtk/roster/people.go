package roster

import (
	"slices"

	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// drawnPeople is how many contacts are offered at first, and then each time that
// more are asked for.
const drawnPeople = 40

// peoplePicker is a search field, and contacts to choose from.
type peoplePicker struct {
	box    *gtk.Box
	entry  *gtk.SearchEntry
	chosen *gtk.Label
	none   *gtk.Label
	more   *gtk.Button
	rows   *widget.Rows[viewmodel.PickRow, *personChoice]
}

func newPeoplePicker(w widget.Window, model *viewmodel.PeoplePicker, own func(func())) *peoplePicker {
	t := w.Texts()
	p, list, part := &peoplePicker{}, widget.Column(0), viewmodel.NewPart(&model.Rows, drawnPeople)
	p.entry = widget.Must(gtk.SearchEntryNew())
	p.entry.SetPlaceholderText(t.T("Search a contact"))
	gtkx.SetName(p.entry, t.T("Search a contact"))
	p.entry.Connect("changed", func() {
		query, _ := p.entry.GetText()
		model.Find(query)
	})
	// It is there from the beginning: rows must not move away from below a pointer that
	// is about to choose the next one.
	p.chosen = widget.Line("", "dim", "small")
	p.none = hidden(widget.Label(t.T("There is nobody to choose."), "dim"))
	p.more = widget.Button("", func() { part.Grow(drawnPeople) }, "link")
	p.more.SetHAlign(gtk.ALIGN_CENTER)
	p.more.SetNoShowAll(true)
	gtkx.SetRole(list, gtkx.RoleList)
	gtkx.SetName(list, t.T("Contacts"))
	scroll := widget.Class(widget.Scrolled(widget.Column(4, list, p.none, p.more)), "people")
	scroll.SetMinContentHeight(240)
	p.box = widget.Column(8, p.entry, p.chosen, scroll)
	p.rows = widget.BoxRows(list, func(r viewmodel.PickRow) *personChoice { return newPersonChoice(w, r, model.Choose) })
	own(part.Close)
	own(part.Rows.Observe(func(steps []viewmodel.Change[viewmodel.PickRow]) {
		p.rows.Follow(steps)
		p.none.SetVisible(p.rows.Len() == 0)
	}))
	own(part.Around.Observe(func(a viewmodel.Around) {
		p.more.SetLabel(t.N("Show %d more", "Show %d more", a.After))
		p.more.SetVisible(a.After > 0)
	}))
	own(model.Chosen.Observe(func(users []string) {
		text := t.T("Nobody is chosen yet.")
		if len(users) > 0 {
			text = t.N("%d person chosen: ", "%d people chosen: ", len(users)) + w.Session().Named(users)
		}
		p.chosen.SetText(text)
		p.chosen.SetTooltipText(text)
	}))
	p.none.SetVisible(model.Rows.Len() == 0)
	return p
}

// personChoice is a contact who may be chosen.
type personChoice struct {
	*gtk.CheckButton
	avatar   *widget.Avatar
	name, id *gtk.Label
	setting  bool // it is set here, not by a person
}

func newPersonChoice(w widget.Window, r viewmodel.PickRow, choose func(user string, on bool)) *personChoice {
	user := r.Contact.GetUser()
	c := &personChoice{
		CheckButton: widget.Class(widget.Must(gtk.CheckButtonNew()), "person-choice"),
		avatar:      widget.NewAvatar(w, widget.AvatarSmall), name: widget.Line(""), id: hidden(widget.Line(user, "dim", "small")),
	}
	words := widget.Column(0, c.name, c.id)
	words.SetVAlign(gtk.ALIGN_CENTER)
	c.Add(widget.Row(10, c.avatar, words))
	c.Connect("toggled", func() {
		if !c.setting {
			choose(user, c.GetActive())
		}
	})
	c.Update(r)
	return c
}

// Update implements widget.RowWidget.
func (c *personChoice) Update(r viewmodel.PickRow) {
	c.avatar.Show(r.Contact.GetUser(), r.Name, r.Contact.GetAvatar(), viewmodel.PresenceNone)
	c.name.SetText(r.Name)
	c.id.SetVisible(r.Contact.GetUser() != r.Name)
	gtkx.SetName(c, r.Name)
	c.setting = true
	c.SetActive(r.Chosen)
	c.setting = false
}

// showInvite asks whom to invite to a group.
func showInvite(w widget.Window, above *gtk.Window, chat string) {
	t, s := w.Texts(), w.Session()
	d := newDialog(w, t.T("Invite people"), 420, 520)
	d.native.SetTransientFor(above)
	model := s.PickInvitees(chat)
	d.own(model.Close)
	people := newPeoplePicker(w, model, d.own)
	problem := hidden(widget.Label("", "danger"))
	gtkx.SetRole(problem, gtkx.RoleAlert)
	send := widget.Button(t.T("Invite"), nil, "suggested-action")
	send.SetHAlign(gtk.ALIGN_START)
	send.Connect("clicked", func() {
		send.SetSensitive(false)
		s.Groups.Invite(chat, model.Chosen.Get(), d.later(func(text string) {
			if text == "" {
				d.close()
				return
			}
			send.SetSensitive(true)
			showText(problem, true, text)
		}))
	})
	d.own(model.Chosen.Observe(func(users []string) { send.SetSensitive(len(users) > 0) }))
	reads := t.T("They can read what is written from now on.")
	if g := s.Groups.Get(chat); g != nil && g.History == viewmodel.HistoryAll {
		reads = t.T("They can read what is written from now on, and of what was written before all that is shared with people invited later.")
	}
	d.add(people.box, widget.Label(reads, "dim", "small"), problem, send)
	d.native.ShowAll()
	people.entry.GrabFocus()
}

// ShowNewGroup asks for a group to be made.
func ShowNewGroup(w widget.Window) {
	t, s := w.Texts(), w.Session()
	if !s.Groups.Available.Get() {
		return
	}
	d := newDialog(w, t.T("New group"), 440, 600)
	model := s.NewGroup()
	d.own(model.Close)
	picture := ""
	wrong := hidden(widget.Label("", "danger"))
	gtkx.SetRole(wrong, gtkx.RoleAlert)
	name := newField(t.T("Name of the group"), t.T("Hiking on Sunday"))
	avatar := widget.NewAvatar(w, widget.AvatarLarge)
	var seen []byte // the picture, made small
	look := func() { avatar.Show("", name.text(), seen, viewmodel.PresenceNone) }
	choose := widget.Button(t.T("Choose a picture…"), widget.Later(func() {
		if path := choosePicture(d.native, t.T("Choose a picture"), t.T("Choose"), t.T("Cancel"), t.T("Pictures")); path != "" {
			s.ReadPicture(path, func(small []byte, problem string) {
				if d.closed {
					return
				}
				showText(wrong, problem != "", problem)
				if problem == "" {
					picture, seen = path, small
					look()
				}
			})
		}
	}))
	choose.SetHAlign(gtk.ALIGN_START)
	words := widget.Column(8, name, choose)
	words.SetVAlign(gtk.ALIGN_CENTER)
	top := widget.Row(16, avatar)
	top.PackStart(words, true, true, 0)
	people := newPeoplePicker(w, model.People, d.own)
	past := widget.Must(gtk.CheckButtonNewWithLabel(t.T("People invited later can read what was written before")))
	create := func() {
		history := viewmodel.HistoryFromJoin
		if past.GetActive() {
			history = viewmodel.HistoryAll
		}
		model.Create(name.text(), picture, history)
	}
	button := widget.Button(t.T("Create the group"), create, "suggested-action")
	spinner := widget.Must(gtk.SpinnerNew())
	name.entry.Connect("activate", create)
	name.entry.Connect("changed", func() {
		model.Typed()
		look()
	})
	d.own(model.State.Observe(func(v viewmodel.NewGroupState) {
		name.fail(v.TitleProblem)
		showText(wrong, v.Problem != "", v.Problem)
		button.SetSensitive(!v.Busy)
		if v.Busy {
			spinner.Start()
		} else {
			spinner.Stop()
		}
		if v.TitleProblem != "" {
			name.entry.GrabFocus()
		}
	}))
	d.own(model.Made.Observe(func(chat string) {
		d.close()
		w.OpenChat(chat, nil)
	}))
	open := hidden(widget.Column(4, widget.OpenLock(t.T("Not encrypted"), true),
		widget.Label(t.T("A group of 2019 has people of 2019 alone, and neither a name nor a picture."), "dim", "small")))
	d.own(model.People.Chosen.Observe(func(users []string) {
		of2019 := slices.ContainsFunc(users, viewmodel.IsNet2019)
		open.SetVisible(of2019)
		past.SetVisible(!of2019)
		top.SetSensitive(!of2019)
		model.Typed()
	}))
	d.add(top, widget.Label(t.T("Members"), "title"), people.box, past, open, wrong, widget.Row(10, button, spinner))
	look()
	d.native.ShowAll()
	name.entry.GrabFocus()
}
