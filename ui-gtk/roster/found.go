package roster

import (
	"html"
	"strings"

	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/gtk"
	"github.com/gotk3/gotk3/pango"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// foundList is what a search found.
type foundList struct {
	window   widget.Window
	entry    *gtk.SearchEntry
	scroll   *gtk.ScrolledWindow
	people   *gtk.ListBox
	messages *gtk.ListBox
	stranger *gtk.Button
	headings struct{ people, messages *gtk.Label }
	status   *gtk.Label
	spinner  *gtk.Spinner
}

func newFoundList(w widget.Window, entry *gtk.SearchEntry) *foundList {
	t, search := w.Texts(), w.Session().Search
	l := &foundList{window: w, entry: entry}
	l.people, l.messages = l.newList(t.T("People and chats")), l.newList(t.T("Messages that were found"))
	l.headings.people, l.headings.messages = heading(t.T("People and chats")), heading(t.T("Messages"))
	l.stranger = widget.Button("", func() {
		user := search.State.Get().Stranger
		search.Close()
		w.ShowAddContact(user)
	}, "flat")
	l.stranger.SetImage(widget.Icon("contact-new-symbolic", gtk.ICON_SIZE_MENU))
	l.stranger.SetAlwaysShowImage(true)
	l.stranger.SetHAlign(gtk.ALIGN_START)
	l.stranger.SetMarginStart(8)
	l.stranger.SetNoShowAll(true)
	l.status = widget.Label("", "dim")
	l.status.SetXAlign(0.5)
	l.status.SetJustify(gtk.JUSTIFY_CENTER)
	l.status.SetMarginTop(14)
	l.status.SetMarginStart(18)
	l.status.SetMarginEnd(18)
	l.status.SetNoShowAll(true)
	l.spinner = widget.Must(gtk.SpinnerNew())
	l.spinner.SetMarginTop(14)
	l.spinner.SetNoShowAll(true)
	l.scroll = widget.Scrolled(widget.Column(0, l.headings.people, l.people, l.stranger, l.headings.messages, l.messages, l.spinner, l.status))
	l.scroll.Connect("edge-reached", func(_ *gtk.ScrolledWindow, edge gtk.PositionType) {
		if edge == gtk.POS_BOTTOM {
			search.More()
		}
	})
	l.people.Connect("row-activated", func(_ *gtk.ListBox, row *gtk.ListBoxRow) { l.openPerson(row.GetIndex()) })
	l.messages.Connect("row-activated", func(_ *gtk.ListBox, row *gtk.ListBoxRow) { l.openMessage(row.GetIndex()) })
	people := widget.ListRows(l.people, func(r viewmodel.FoundRow) *foundRow { return newFoundRow(w, r) })
	w.Own(search.People.Observe(people.Follow))
	w.Own(search.Messages.Observe(widget.ListRows(l.messages, newHitRow).Follow))
	w.Own(search.State.Observe(l.draw))
	return l
}

func heading(text string) *gtk.Label {
	l := widget.Line(text, "roster-heading")
	gtkx.SetRole(l, gtkx.RoleHeading)
	l.SetNoShowAll(true)
	return l
}

// newList makes a list from whose ends the arrow keys lead on.
func (l *foundList) newList(name string) *gtk.ListBox {
	list := widget.Must(gtk.ListBoxNew())
	list.SetSelectionMode(gtk.SELECTION_NONE)
	gtkx.SetName(list, name)
	list.Connect("key-press-event", func(_ *gtk.ListBox, e *gdk.Event) bool {
		key := gdk.EventKeyNewFromEvent(e).KeyVal()
		switch key {
		case gdk.KEY_Up, gdk.KEY_KP_Up:
			return l.leave(list, -1)
		case gdk.KEY_Down, gdk.KEY_KP_Down:
			return l.leave(list, 1)
		case gdk.KEY_Escape:
			l.entry.GrabFocus()
			return true
		}
		return false
	})
	return list
}

// leave moves the keyboard from the first or last row of a list to what is beyond.
func (l *foundList) leave(from *gtk.ListBox, by int) bool {
	s := l.window.Session().Search
	n := s.People.Len()
	if from == l.messages {
		n = s.Messages.Len()
	}
	end := 0
	if by > 0 {
		end = n - 1
	}
	if row := from.GetRowAtIndex(end); row == nil || !row.IsFocus() {
		return false
	}
	switch {
	case by > 0 && from == l.people:
		return focusRow(l.messages, 0)
	case by < 0 && from == l.messages && s.People.Len() > 0:
		return focusRow(l.people, s.People.Len()-1)
	case by < 0:
		l.entry.GrabFocus()
		l.entry.SetPosition(-1)
		return true
	}
	return false
}

func focusRow(list *gtk.ListBox, at int) bool {
	row := list.GetRowAtIndex(at)
	if row == nil {
		return false
	}
	row.GrabFocus()
	return true
}

// focusFirst gives the keyboard to the first row.
func (l *foundList) focusFirst() bool { return focusRow(l.people, 0) || focusRow(l.messages, 0) }

// activateFirst opens what is on top.
func (l *foundList) activateFirst() {
	s := l.window.Session().Search
	switch {
	case s.State.Get().Query == "":
	case s.People.Len() > 0:
		l.openPerson(0)
	case s.State.Get().Stranger != "" && s.Messages.Len() == 0:
		l.stranger.Clicked()
	case s.Messages.Len() > 0:
		l.openMessage(0)
	}
}

// openPerson opens the chat with a person who was found, or the page of one with
// whom there is none.
func (l *foundList) openPerson(at int) {
	s := l.window.Session().Search
	if at >= s.People.Len() {
		return
	}
	r := s.People.At(at)
	s.Close()
	if r.Chat != nil {
		l.window.OpenChat(r.Chat.GetId(), nil)
	} else {
		l.window.ShowPerson(r.Contact.GetUser())
	}
}

// openMessage shows a message that was found. The search stays, for the next one.
func (l *foundList) openMessage(at int) {
	if s := l.window.Session().Search; at < s.Messages.Len() {
		m := s.Messages.At(at).Message
		l.window.OpenChat(m.GetChat(), m.GetId())
	}
}

func (l *foundList) draw(s viewmodel.SearchState) {
	t, search := l.window.Texts(), l.window.Session().Search
	l.headings.people.SetVisible(search.People.Len() > 0)
	l.headings.messages.SetVisible(search.Messages.Len() > 0)
	l.stranger.SetVisible(s.Stranger != "")
	if s.Stranger != "" {
		l.stranger.SetLabel(t.F("Add “%s” as a contact", s.Stranger))
	}
	text := ""
	switch {
	case s.Problem != "":
		text = s.Problem
	case s.Query == "":
		text = t.T("Write a word of the message you look for.")
	case !s.Busy && search.People.Len() == 0 && search.Messages.Len() == 0:
		text = t.T("Nothing found.")
	}
	l.status.SetText(text)
	l.status.SetVisible(text != "")
	l.spinner.SetVisible(s.Busy)
	if s.Busy {
		l.spinner.Start()
	} else {
		l.spinner.Stop()
	}
}

// foundRow is the row of a person or a chat.
type foundRow struct {
	*gtk.ListBoxRow
	avatar        *widget.Avatar
	title, detail *gtk.Label
}

func newFoundRow(w widget.Window, r viewmodel.FoundRow) *foundRow {
	f := &foundRow{
		ListBoxRow: widget.Class(widget.Must(gtk.ListBoxRowNew()), "chat-row"), avatar: widget.NewAvatar(w, widget.AvatarSmall),
		title: widget.Line("", "title"), detail: hidden(widget.Line("", "dim", "small")),
	}
	words := widget.Column(1, f.title, f.detail)
	words.SetVAlign(gtk.ALIGN_CENTER)
	box := widget.Row(11, f.avatar)
	box.PackStart(words, true, true, 0)
	f.Add(box)
	f.Update(r)
	return f
}

// Update implements widget.RowWidget.
func (f *foundRow) Update(r viewmodel.FoundRow) {
	id := r.Chat.GetId()
	if r.Contact != nil {
		id = r.Contact.GetUser()
	}
	f.avatar.Show(id, r.Title, r.Contact.GetAvatar(), viewmodel.PresenceNone)
	f.title.SetText(r.Title)
	showText(f.detail, r.Detail != "", r.Detail)
	gtkx.SetName(f, r.Title)
}

// hitRow is the row of a message.
type hitRow struct {
	*gtk.ListBoxRow
	title, when, text *gtk.Label
}

func newHitRow(r viewmodel.HitRow) *hitRow {
	h := &hitRow{
		ListBoxRow: widget.Class(widget.Must(gtk.ListBoxRowNew()), "chat-row"),
		title:      widget.Line("", "title"), when: widget.Line("", "when"), text: widget.Label("", "hit"),
	}
	upper := widget.Row(6)
	upper.PackStart(h.title, true, true, 0)
	upper.PackEnd(h.when, false, false, 0)
	h.text.SetLines(2)
	h.text.SetEllipsize(pango.ELLIPSIZE_END)
	h.Add(widget.Column(3, upper, h.text))
	h.Update(r)
	return h
}

// Update implements widget.RowWidget.
func (h *hitRow) Update(r viewmodel.HitRow) {
	author := ""
	if r.Author != r.Title {
		author = r.Author + ": "
	}
	h.title.SetText(r.Title)
	h.when.SetText(r.When)
	h.text.SetMarkup(html.EscapeString(author) + marked(r.Text, r.Marks))
	gtkx.SetName(h, strings.Join([]string{r.Title, author + r.Text, r.When}, ", "))
}

// marked makes the markup of a text with some parts in bold.
func marked(text string, marks [][2]int) string {
	var b strings.Builder
	at := 0
	for _, m := range marks {
		b.WriteString(html.EscapeString(text[at:m[0]]) + "<b>" + html.EscapeString(text[m[0]:m[1]]) + "</b>")
		at = m[1]
	}
	return b.String() + html.EscapeString(text[at:])
}
