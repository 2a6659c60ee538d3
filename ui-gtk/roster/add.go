package roster

import (
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// ShowAddContact asks whom to add. user, an id or a link, may be given already.
func ShowAddContact(w widget.Window, user string) {
	t, s := w.Texts(), w.Session()
	model := s.NewAddContact()
	d := newDialog(w, t.T("Add a contact"), 420, 620)
	who := newField(t.T("User id or link"), t.T("bob, or parley:bob"))
	who.entry.SetText(user)
	greeting := newField(t.T("Greeting"), t.T("Say who you are"))
	problem := widget.Label("", "danger")
	done := widget.Label("", "ok")
	for _, l := range []*gtk.Label{problem, done} {
		l.SetNoShowAll(true)
		gtkx.SetRole(l, gtkx.RoleAlert)
	}
	ask := func() {
		if model.State.Get().Done != "" {
			d.close()
			return
		}
		model.Ask(who.text(), greeting.text())
	}
	send := widget.Button(t.T("Send the request"), ask, "suggested-action")
	spinner := widget.Must(gtk.SpinnerNew())
	row := widget.Row(10, send, spinner)
	who.entry.Connect("activate", func() { greeting.entry.GrabFocus() })
	greeting.entry.Connect("activate", ask)
	for _, f := range []*field{who, greeting} {
		f.entry.Connect("changed", model.Typed)
	}
	d.add(widget.Label(t.T("Whom do you want to write to? They are asked whether they accept."), "dim"), who, greeting, problem, done, row,
		widget.Must(gtk.SeparatorNew(gtk.ORIENTATION_HORIZONTAL)),
		linkBox(w, viewmodel.PersonLink(s.User(), s.Status.Get().GetDirectory().GetAddress())))
	d.own(model.State.Observe(func(a viewmodel.AddState) {
		who.fail(a.UserProblem)
		greeting.fail(a.GreetingProblem)
		problem.SetText(a.Problem)
		problem.SetVisible(a.Problem != "")
		done.SetText(a.Done)
		done.SetVisible(a.Done != "")
		if a.Done != "" {
			send.SetLabel(t.T("Close"))
		} else {
			send.SetLabel(t.T("Send the request"))
		}
		send.SetSensitive(!a.Busy)
		if a.Busy {
			spinner.Start()
		} else {
			spinner.Stop()
		}
		if a.UserProblem != "" {
			who.entry.GrabFocus()
		}
	}))
	d.native.ShowAll()
	who.entry.GrabFocus()
}
