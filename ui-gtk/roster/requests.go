package roster

import (
	"slices"

	"github.com/gotk3/gotk3/gtk"
	"github.com/gotk3/gotk3/pango"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// drawnRequests is how many requests are shown at first, and then each time that more
// are asked for: anybody of the directory may send one.
const drawnRequests = 3

// requestList is who asks to become a contact, and who was asked.
type requestList struct {
	box                *gtk.Box
	incoming, outgoing *requestPart
}

func newRequestList(w widget.Window) *requestList {
	t, c := w.Texts(), w.Session().Contacts
	l := &requestList{
		incoming: newRequestPart(w, &c.Incoming, t.T("Contact requests"), incomingCard),
		outgoing: newRequestPart(w, &c.Outgoing, t.T("Waiting for an answer"), outgoingCard),
	}
	invitations := newInvitations(w)
	l.box = widget.Column(0, l.incoming.box, invitations, l.outgoing.box)
	return l
}

// newInvitations are the groups that one is asked to join.
func newInvitations(w widget.Window) *gtk.Box {
	list := &w.Session().Groups.Invitations
	title := heading(w.Texts().T("Invitations"))
	cards := widget.Column(0)
	// See newRequestPart.
	cards.PackEnd(hidden(widget.Label("")), false, false, 0)
	more := widget.Button("", nil, "link")
	more.SetHAlign(gtk.ALIGN_CENTER)
	more.SetNoShowAll(true)
	box := widget.Column(0, title, cards, more)
	part := viewmodel.NewPart(list, drawnRequests)
	more.Connect("clicked", func() { part.Grow(drawnRequests) })
	var drawn []*gtk.Box
	w.Own(part.Close)
	w.Own(part.Rows.Observe(func(steps []viewmodel.Change[viewmodel.InvitationRow]) {
		for _, step := range steps {
			if step.Kind != viewmodel.Inserted {
				drawn[step.At].Destroy()
				drawn = slices.Delete(drawn, step.At, step.At+1)
			}
			if step.Kind != viewmodel.Removed {
				card := invitationCard(w, step.Row)
				drawn = slices.Insert(drawn, step.At, card)
				cards.PackStart(card, false, false, 0)
				cards.ReorderChild(card, step.At)
				card.ShowAll()
			}
		}
		title.SetVisible(len(drawn) > 0)
		box.SetMarginBottom(min(len(drawn), 1) * 8)
	}))
	title.SetVisible(len(drawn) > 0)
	w.Own(part.Around.Observe(func(a viewmodel.Around) {
		more.SetLabel(w.Texts().N("Show %d more", "Show %d more", a.After))
		more.SetVisible(a.After > 0)
	}))
	return box
}

// invitationCard asks whether to join a group.
func invitationCard(w widget.Window, r viewmodel.InvitationRow) *gtk.Box {
	t, groups := w.Texts(), w.Session().Groups
	avatar := widget.NewAvatar(w, widget.AvatarMedium)
	avatar.Show(r.Chat, r.Title, r.Group.Picture, viewmodel.PresenceNone)
	title := widget.Line(r.Title, "title")
	title.SetVAlign(gtk.ALIGN_CENTER)
	top := widget.Row(11, avatar)
	top.PackStart(title, true, true, 0)
	card := widget.Class(widget.Column(9, top), "card", "request")
	card.SetMarginStart(8)
	card.SetMarginEnd(8)
	card.SetMarginTop(4)
	card.SetMarginBottom(4)
	line := widget.Label(r.Line, "greeting")
	line.SetLines(4)
	line.SetEllipsize(pango.ELLIPSIZE_END)
	line.SetTooltipText(r.Line)
	card.PackStart(line, false, false, 0)
	join := widget.Button(t.T("Join"), func() { groups.Answer(r.Chat, true) }, "suggested-action")
	gtkx.SetName(join, t.F("Join %s", r.Title))
	decline := widget.Button(t.T("Decline"), func() { groups.Answer(r.Chat, false) })
	gtkx.SetName(decline, t.F("Decline to join %s", r.Title))
	buttons := widget.Row(6)
	buttons.PackStart(join, true, true, 0)
	buttons.PackStart(decline, true, true, 0)
	card.PackStart(buttons, false, false, 0)
	return card
}

// requestPart is a heading and cards below it.
type requestPart struct {
	window  widget.Window
	box     *gtk.Box
	heading *gtk.Label
	cards   *gtk.Box
	more    *gtk.Button
	part    *viewmodel.Part[viewmodel.ContactRow]
	newCard func(widget.Window, viewmodel.ContactRow) *gtk.Box
	drawn   []*gtk.Box
}

func newRequestPart(w widget.Window, list *viewmodel.List[viewmodel.ContactRow], title string, card func(widget.Window, viewmodel.ContactRow) *gtk.Box) *requestPart {
	p := &requestPart{window: w, cards: widget.Column(0), newCard: card}
	p.heading = heading(title)
	p.more = widget.Button("", func() { p.part.Grow(drawnRequests) }, "link")
	p.more.SetHAlign(gtk.ALIGN_CENTER)
	p.more.SetNoShowAll(true)
	// GTK asks an empty box whether its height depends on its width, and does not ask
	// again in time when cards with texts that wrap have come: this one says yes.
	p.cards.PackEnd(hidden(widget.Label("")), false, false, 0)
	p.box = widget.Column(0, p.heading, p.cards, p.more)
	p.part = viewmodel.NewPart(list, drawnRequests)
	w.Own(p.part.Close)
	w.Own(p.part.Rows.Observe(p.draw))
	w.Own(p.part.Around.Observe(func(a viewmodel.Around) {
		p.more.SetLabel(w.Texts().N("Show %d more", "Show %d more", a.After))
		p.more.SetVisible(a.After > 0)
	}))
	return p
}

func (p *requestPart) draw(steps []viewmodel.Change[viewmodel.ContactRow]) {
	for _, step := range steps {
		if step.Kind != viewmodel.Inserted {
			p.drawn[step.At].Destroy()
			p.drawn = append(p.drawn[:step.At], p.drawn[step.At+1:]...)
		}
		if step.Kind != viewmodel.Removed {
			card := p.newCard(p.window, step.Row)
			p.drawn = append(p.drawn, nil)
			copy(p.drawn[step.At+1:], p.drawn[step.At:])
			p.drawn[step.At] = card
			p.cards.PackStart(card, false, false, 0)
			p.cards.ReorderChild(card, step.At)
			card.ShowAll()
		}
	}
	p.heading.SetVisible(len(p.drawn) > 0)
	p.box.SetMarginBottom(min(len(p.drawn), 1) * 8)
}

// personLine is an avatar with a name and a line below it.
func personLine(w widget.Window, user, name, line string) *gtk.Box {
	avatar := widget.NewAvatar(w, widget.AvatarMedium)
	avatar.ShowPerson(user)
	words := widget.Column(2, widget.Line(name, "title"))
	if line != "" {
		words.PackStart(widget.Line(line, "dim", "small"), false, false, 0)
	}
	words.SetVAlign(gtk.ALIGN_CENTER)
	row := widget.Row(11, avatar)
	row.PackStart(words, true, true, 0)
	return row
}

// incomingCard asks what to do with a request.
func incomingCard(w widget.Window, r viewmodel.ContactRow) *gtk.Box {
	t, c, user := w.Texts(), w.Session().Contacts, r.Contact.GetUser()
	id := user
	if r.Name == user {
		id = ""
	}
	card := widget.Class(widget.Column(9, personLine(w, user, r.Name, id)), "card", "request")
	card.SetMarginStart(8)
	card.SetMarginEnd(8)
	card.SetMarginTop(4)
	card.SetMarginBottom(4)
	if greeting := w.Session().Greeting(r.Contact); greeting != "" {
		l := widget.Label(greeting, "greeting")
		l.SetLines(4)
		l.SetEllipsize(pango.ELLIPSIZE_END)
		l.SetTooltipText(greeting)
		card.PackStart(l, false, false, 0)
	}
	if viewmodel.IsNet2019(user) {
		card.PackStart(widget.OpenLock(t.T("Not encrypted; nothing proves who it is"), true), false, false, 0)
	}
	accept := widget.Button(t.T("Accept"), func() { c.Answer(user, true) }, "suggested-action")
	gtkx.SetName(accept, t.F("Accept the request of %s", r.Name))
	decline := widget.Button(t.T("Decline"), func() { c.Answer(user, false) })
	gtkx.SetName(decline, t.F("Decline the request of %s", r.Name))
	more := widget.MenuButton("view-more-symbolic", t.F("More about %s", r.Name), func() []widget.MenuItem {
		return []widget.MenuItem{
			{Icon: "avatar-default-symbolic", Text: t.T("Contact page"), Do: func() { w.ShowPerson(user) }},
			{Icon: "action-unavailable-symbolic", Text: t.T("Block"), Danger: true, Do: func() { askBlock(w, user) }},
		}
	})
	buttons := widget.Row(6)
	buttons.PackStart(accept, true, true, 0)
	buttons.PackStart(decline, true, true, 0)
	buttons.PackStart(more, false, false, 0)
	card.PackStart(buttons, false, false, 0)
	return card
}

// outgoingCard shows who was asked.
func outgoingCard(w widget.Window, r viewmodel.ContactRow) *gtk.Box {
	t, user := w.Texts(), r.Contact.GetUser()
	row := personLine(w, user, r.Name, t.T("has not answered yet"))
	row.PackEnd(widget.MenuButton("view-more-symbolic", t.F("More about %s", r.Name), func() []widget.MenuItem {
		return []widget.MenuItem{
			{Icon: "avatar-default-symbolic", Text: t.T("Contact page"), Do: func() { w.ShowPerson(user) }},
			{Icon: "edit-undo-symbolic", Text: t.T("Withdraw the request"), Do: func() { w.Session().Contacts.Remove(user, false) }},
		}
	}), false, false, 0)
	row.SetMarginStart(17)
	row.SetMarginEnd(8)
	row.SetMarginTop(6)
	row.SetMarginBottom(6)
	return row
}

// askBlock asks whether to block somebody.
func askBlock(w widget.Window, user string) {
	t, c := w.Texts(), w.Session().Contacts
	if widget.Ask(w.Native(), t.F("Block %s?", c.Name(user)),
		t.T("Nothing of this person arrives any more, and they are not told. You can take it back on the person's page."),
		t.T("Block"), t.T("Cancel"), true) {
		c.Block(user, true)
	}
}

// askRemove asks whether to remove a contact, and the history with them.
func askRemove(w widget.Window, user string) {
	t, c := w.Texts(), w.Session().Contacts
	d := gtk.MessageDialogNew(w.Native(), gtk.DIALOG_MODAL|gtk.DIALOG_DESTROY_WITH_PARENT, gtk.MESSAGE_QUESTION, gtk.BUTTONS_NONE,
		"%s", t.F("Remove %s from your contacts?", c.Name(user)))
	defer d.Destroy()
	d.FormatSecondaryText("%s", t.T("You can no longer write to each other. The other side is told."))
	erase := widget.Must(gtk.CheckButtonNewWithLabel(t.T("Also delete all messages of this chat from this computer")))
	erase.SetMarginStart(20)
	erase.SetMarginEnd(20)
	erase.SetMarginBottom(10)
	widget.Must(d.GetContentArea()).PackEnd(erase, false, false, 0)
	erase.Show()
	widget.Must(d.AddButton(t.T("Cancel"), gtk.RESPONSE_CANCEL))
	widget.Class(widget.Must(d.AddButton(t.T("Remove"), gtk.RESPONSE_ACCEPT)), "destructive-action")
	d.SetDefaultResponse(gtk.RESPONSE_CANCEL)
	if d.Run() == gtk.RESPONSE_ACCEPT {
		c.Remove(user, erase.GetActive())
	}
}
