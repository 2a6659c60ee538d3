package roster

import (
	"strings"

	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// ShowAddContact asks whom to add. user, an id or a link, may be given already.
func ShowAddContact(w widget.Window, user string) { newAddContact(w, user) }

// addContact is the dialog that asks.
type addContact struct {
	window        widget.Window
	model         *viewmodel.AddContact
	dialog        *dialog
	who, greeting *field
	problem, done *gtk.Label
	open          *gtk.Box // of 2019
	send          *gtk.Button
	spinner       *gtk.Spinner
}

func newAddContact(w widget.Window, user string) *addContact {
	t, s := w.Texts(), w.Session()
	a := &addContact{window: w, model: s.NewAddContact(), dialog: newDialog(w, t.T("Add a contact"), 420, 620)}
	hint := t.T("bob, or parley:bob")
	if s.Status.Get().GetNet2019().GetOn() {
		hint = t.T("bob, parley:bob, or net2019:2017000001")
	}
	a.who = newField(t.T("User id or link"), hint)
	a.who.entry.SetText(user)
	a.greeting = newField(t.T("Greeting"), t.T("Say who you are"))
	a.problem, a.done = hidden(widget.Label("", "danger")), hidden(widget.Label("", "ok"))
	for _, l := range []*gtk.Label{a.problem, a.done} {
		gtkx.SetRole(l, gtkx.RoleAlert)
	}
	a.send = widget.Button("", a.ask, "suggested-action")
	a.spinner = widget.Must(gtk.SpinnerNew())
	a.who.entry.Connect("activate", func() { a.greeting.entry.GrabFocus() })
	a.greeting.entry.Connect("activate", a.ask)
	for _, f := range []*field{a.who, a.greeting} {
		f.entry.Connect("changed", a.model.Typed)
	}
	a.open = hidden(widget.Column(4, widget.OpenLock(t.T("Not encrypted"), true),
		widget.Label(t.T("People of 2019 are not asked, and get no greeting. Nothing proves who somebody is, and everybody on the way can read what you write."), "dim", "small")))
	a.who.entry.Connect("changed", a.look)
	a.dialog.add(widget.Label(t.T("Whom do you want to write to? They are asked whether they accept."), "dim"),
		a.who, a.greeting, a.open, a.problem, a.done, widget.Row(10, a.send, a.spinner), widget.Must(gtk.SeparatorNew(gtk.ORIENTATION_HORIZONTAL)),
		linkBox(w, s.OwnLink()))
	a.dialog.own(a.model.State.Observe(a.draw))
	a.dialog.native.ShowAll()
	a.look()
	a.who.entry.GrabFocus()
	return a
}

// look says of whom nothing is encrypted.
func (a *addContact) look() {
	open := viewmodel.IsNet2019(strings.TrimSpace(a.who.text()))
	a.open.SetVisible(open)
	a.greeting.SetVisible(!open)
	a.draw(a.model.State.Get())
}

// ask asks, or once that is done closes the dialog.
func (a *addContact) ask() {
	if a.model.State.Get().Done != "" {
		a.dialog.close()
		return
	}
	a.model.Ask(a.who.text(), a.greeting.text())
}

func (a *addContact) draw(s viewmodel.AddState) {
	t := a.window.Texts()
	a.who.fail(s.UserProblem)
	a.greeting.fail(s.GreetingProblem)
	showText(a.problem, s.Problem != "", s.Problem)
	showText(a.done, s.Done != "", s.Done)
	if s.Done != "" {
		a.send.SetLabel(t.T("Close"))
	} else {
		a.send.SetLabel(t.T("Send the request"))
		if viewmodel.IsNet2019(strings.TrimSpace(a.who.text())) {
			a.send.SetLabel(t.T("Add"))
		}
	}
	a.send.SetSensitive(!s.Busy)
	if s.Busy {
		a.spinner.Start()
	} else {
		a.spinner.Stop()
	}
	if s.UserProblem != "" {
		a.who.entry.GrabFocus()
	}
}
