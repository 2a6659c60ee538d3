package app

import (
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// startingPage is seen until the core has answered for the first time.
type startingPage struct {
	box     *gtk.Box
	spinner *gtk.Spinner
	problem *gtk.Label
	again   *gtk.Button
}

func newStartingPage(w *Window) *startingPage {
	t := w.app.texts
	p := &startingPage{problem: widget.Label("", "dim")}
	p.spinner, _ = gtk.SpinnerNew()
	p.spinner.SetSizeRequest(32, 32)
	title := widget.Label(t.T("Parley is starting"), "heading")
	title.SetJustify(gtk.JUSTIFY_CENTER)
	title.SetXAlign(0.5)
	p.problem.SetJustify(gtk.JUSTIFY_CENTER)
	p.problem.SetXAlign(0.5)
	p.problem.SetMaxWidthChars(50)
	p.again = widget.Button(t.T("Quit the other Parley"), func() { w.session.Replace() }, "suggested-action")
	p.again.SetHAlign(gtk.ALIGN_CENTER)
	p.again.SetNoShowAll(true)
	p.box = widget.Column(16, p.spinner, title, p.problem, p.again)
	p.box.SetVAlign(gtk.ALIGN_CENTER)
	p.box.SetHAlign(gtk.ALIGN_CENTER)
	gtkx.SetRole(p.problem, gtkx.RoleAlert)
	return p
}

func (p *startingPage) show(l viewmodel.Link) {
	p.problem.SetText(l.Problem)
	p.again.SetVisible(l.State == viewmodel.Foreign)
	if l.State == viewmodel.Connecting {
		p.spinner.Start()
	} else {
		p.spinner.Stop()
	}
}
