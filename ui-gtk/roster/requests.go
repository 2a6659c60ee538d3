package roster

import (
	"github.com/gotk3/gotk3/gtk"
	"github.com/gotk3/gotk3/pango"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// drawnRequests is how many requests are shown at first, and then each time that more
// are asked for: anybody of the directory may send one.
const drawnRequests = 3

// requestList is who asks to become a contact, which groups one is asked to join, and
// who was asked.
type requestList struct {
	box         *gtk.Box
	incoming    *cardList[viewmodel.ContactRow, *incomingCard]
	invitations *cardList[viewmodel.InvitationRow, *invitationCard]
	outgoing    *cardList[viewmodel.ContactRow, *outgoingCard]
}

// newRequestList makes it. lost is called when a card is gone that had the keyboard: it
// does not go to another card, where the same key would answer somebody else.
func newRequestList(w widget.Window, lost func()) *requestList {
	t, s := w.Texts(), w.Session()
	l := &requestList{
		incoming:    newCardList(w, &s.Contacts.Incoming, t.T("Contact requests"), newIncomingCard, lost),
		invitations: newCardList(w, &s.Groups.Invitations, t.T("Invitations"), newInvitationCard, lost),
		outgoing:    newCardList(w, &s.Contacts.Outgoing, t.T("Waiting for an answer"), newOutgoingCard, lost),
	}
	l.box = widget.Column(0, l.incoming.box, l.invitations.box, l.outgoing.box)
	return l
}

// cardList is a heading and cards below it.
type cardList[T viewmodel.Row[T], W widget.RowWidget[T]] struct {
	box  *gtk.Box
	more *gtk.Button
	rows *widget.Rows[T, W]
}

func newCardList[T viewmodel.Row[T], W widget.RowWidget[T]](w widget.Window, list *viewmodel.List[T], title string, card func(widget.Window, T) W, lost func()) *cardList[T, W] {
	head, cards, part := heading(title), widget.Column(0), viewmodel.NewPart(list, drawnRequests)
	l := &cardList[T, W]{more: widget.Button("", func() { part.Grow(drawnRequests) }, "link")}
	l.more.SetHAlign(gtk.ALIGN_CENTER)
	l.more.SetNoShowAll(true)
	// GTK asks an empty box whether its height depends on its width, and does not ask
	// again in time when cards with texts that wrap have come: this one says yes.
	cards.PackEnd(hidden(widget.Label("")), false, false, 0)
	l.box = widget.Column(0, head, cards, l.more)
	l.rows = widget.BoxRows(cards, func(r T) W { return card(w, r) })
	w.Own(part.Close)
	w.Own(part.Rows.Observe(func(steps []viewmodel.Change[T]) {
		held := gtkx.HoldsFocus(cards)
		l.rows.Follow(steps)
		if held && gtkx.LostFocus(cards) {
			lost()
		}
		head.SetVisible(l.rows.Len() > 0)
		l.box.SetMarginBottom(min(l.rows.Len(), 1) * 8)
	}))
	w.Own(part.Around.Observe(func(a viewmodel.Around) {
		l.more.SetLabel(w.Texts().N("Show %d more", "Show %d more", a.After))
		l.more.SetVisible(a.After > 0)
	}))
	return l
}

// newCard makes a card that begins with something.
func newCard(top gtk.IWidget) *gtk.Box {
	card := widget.Class(widget.Column(9, top), "card", "request")
	card.SetMarginStart(8)
	card.SetMarginEnd(8)
	card.SetMarginTop(4)
	card.SetMarginBottom(4)
	return card
}

// newGreeting makes the text of a card, of which as much is shown as there is room for.
func newGreeting() *gtk.Label {
	l := hidden(widget.Label("", "greeting"))
	l.SetLines(4)
	l.SetEllipsize(pango.ELLIPSIZE_END)
	return l
}

func showGreeting(l *gtk.Label, text string) {
	showText(l, text != "", text)
	l.SetTooltipText(text)
}

// invitationCard asks whether to join a group.
type invitationCard struct {
	*gtk.Box
	window        widget.Window
	avatar        *widget.Avatar
	title, line   *gtk.Label
	join, decline *gtk.Button
}

func newInvitationCard(w widget.Window, r viewmodel.InvitationRow) *invitationCard {
	t, groups := w.Texts(), w.Session().Groups
	c := &invitationCard{window: w, avatar: widget.NewAvatar(w, widget.AvatarMedium), title: widget.Line("", "title"), line: newGreeting()}
	c.title.SetVAlign(gtk.ALIGN_CENTER)
	top := widget.Row(11, c.avatar)
	top.PackStart(c.title, true, true, 0)
	c.Box = newCard(top)
	c.PackStart(c.line, false, false, 0)
	c.join = widget.Button(t.T("Join"), func() {
		open := w.Session().Panes.Chat.Get()
		groups.Join(r.Chat, func() {
			if w.Session().Panes.Chat.Get() == open { // nobody has gone to another one meanwhile
				w.OpenChat(r.Chat, nil)
			}
		})
	}, "suggested-action")
	c.decline = widget.Button(t.T("Decline"), func() { groups.Decline(r.Chat) })
	buttons := widget.Row(6)
	buttons.PackStart(c.join, true, true, 0)
	buttons.PackStart(c.decline, true, true, 0)
	c.PackStart(buttons, false, false, 0)
	c.Update(r)
	return c
}

// Update implements widget.RowWidget.
func (c *invitationCard) Update(r viewmodel.InvitationRow) {
	t := c.window.Texts()
	c.avatar.Show(r.Chat, r.Title, r.Group.Picture, viewmodel.PresenceNone)
	c.title.SetText(r.Title)
	showGreeting(c.line, r.Line)
	gtkx.SetName(c.join, t.F("Join %s", r.Title))
	gtkx.SetName(c.decline, t.F("Decline to join %s", r.Title))
}

// personLine is an avatar with a name and a line below it.
type personLine struct {
	*gtk.Box
	avatar     *widget.Avatar
	name, line *gtk.Label
}

func newPersonLine(w widget.Window) *personLine {
	p := &personLine{avatar: widget.NewAvatar(w, widget.AvatarMedium), name: widget.Line("", "title"), line: hidden(widget.Line("", "dim", "small"))}
	words := widget.Column(2, p.name, p.line)
	words.SetVAlign(gtk.ALIGN_CENTER)
	p.Box = widget.Row(11, p.avatar)
	p.PackStart(words, true, true, 0)
	return p
}

func (p *personLine) show(user, name, line string) {
	p.avatar.ShowPerson(user)
	p.name.SetText(name)
	showText(p.line, line != "", line)
}

// incomingCard asks what to do with a request.
type incomingCard struct {
	*gtk.Box
	window          widget.Window
	person          *personLine
	greeting        *gtk.Label
	accept, decline *gtk.Button
	more            *gtk.MenuButton
}

func newIncomingCard(w widget.Window, r viewmodel.ContactRow) *incomingCard {
	t, contacts, user := w.Texts(), w.Session().Contacts, r.Contact.GetUser()
	c := &incomingCard{window: w, person: newPersonLine(w), greeting: newGreeting()}
	c.Box = newCard(c.person)
	c.PackStart(c.greeting, false, false, 0)
	if viewmodel.IsNet2019(user) {
		c.PackStart(widget.OpenLock(t.T("Not encrypted; nothing proves who it is"), true), false, false, 0)
	}
	c.accept = widget.Button(t.T("Accept"), func() { contacts.Answer(user, true) }, "suggested-action")
	c.decline = widget.Button(t.T("Decline"), func() { contacts.Answer(user, false) })
	c.more = widget.MenuButton("view-more-symbolic", "", func() []widget.MenuItem {
		return []widget.MenuItem{
			{Icon: "avatar-default-symbolic", Text: t.T("Contact page"), Do: func() { w.ShowPerson(user) }},
			{Icon: "action-unavailable-symbolic", Text: t.T("Block"), Danger: true, Do: func() { askBlock(w, user) }},
		}
	})
	buttons := widget.Row(6)
	buttons.PackStart(c.accept, true, true, 0)
	buttons.PackStart(c.decline, true, true, 0)
	buttons.PackStart(c.more, false, false, 0)
	c.PackStart(buttons, false, false, 0)
	c.Update(r)
	return c
}

// Update implements widget.RowWidget.
func (c *incomingCard) Update(r viewmodel.ContactRow) {
	t, user := c.window.Texts(), r.Contact.GetUser()
	id := user
	if r.Name == user {
		id = ""
	}
	c.person.show(user, r.Name, id)
	showGreeting(c.greeting, c.window.Session().Greeting(r.Contact))
	gtkx.SetName(c.accept, t.F("Accept the request of %s", r.Name))
	gtkx.SetName(c.decline, t.F("Decline the request of %s", r.Name))
	widget.NameIcon(c.more, t.F("More about %s", r.Name))
}

// outgoingCard shows who was asked.
type outgoingCard struct {
	*personLine
	window widget.Window
	more   *gtk.MenuButton
}

func newOutgoingCard(w widget.Window, r viewmodel.ContactRow) *outgoingCard {
	t, user := w.Texts(), r.Contact.GetUser()
	c := &outgoingCard{window: w, personLine: newPersonLine(w)}
	c.more = widget.MenuButton("view-more-symbolic", "", func() []widget.MenuItem {
		return []widget.MenuItem{
			{Icon: "avatar-default-symbolic", Text: t.T("Contact page"), Do: func() { w.ShowPerson(user) }},
			{Icon: "edit-undo-symbolic", Text: t.T("Withdraw the request"), Do: func() { w.Session().Contacts.Remove(user, false) }},
		}
	})
	c.PackEnd(c.more, false, false, 0)
	c.SetMarginStart(17)
	c.SetMarginEnd(8)
	c.SetMarginTop(6)
	c.SetMarginBottom(6)
	c.Update(r)
	return c
}

// Update implements widget.RowWidget.
func (c *outgoingCard) Update(r viewmodel.ContactRow) {
	t := c.window.Texts()
	c.show(r.Contact.GetUser(), r.Name, t.T("has not answered yet"))
	widget.NameIcon(c.more, t.F("More about %s", r.Name))
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
