package app

import (
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/texts"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// startingPage is seen until the core has answered for the first time.
type startingPage struct {
	box     *gtk.Box
	texts   *texts.Texts
	spinner *gtk.Spinner
	title   *gtk.Label
	problem *gtk.Label
	again   *gtk.Button
}

func newStartingPage(w *Window) *startingPage {
	t := w.app.texts
	p := &startingPage{texts: t, title: widget.Label("", "heading"), problem: widget.Label("", "dim")}
	p.spinner, _ = gtk.SpinnerNew()
	p.spinner.SetSizeRequest(32, 32)
	p.title.SetJustify(gtk.JUSTIFY_CENTER)
	p.title.SetXAlign(0.5)
	p.problem.SetJustify(gtk.JUSTIFY_CENTER)
	p.problem.SetXAlign(0.5)
	p.problem.SetMaxWidthChars(50)
	p.again = widget.Button(t.T("Quit the other Parley"), func() { w.session.Replace() }, "suggested-action")
	p.again.SetHAlign(gtk.ALIGN_CENTER)
	p.again.SetNoShowAll(true)
	p.box = widget.Column(16, p.spinner, p.title, p.problem, p.again)
	p.box.SetVAlign(gtk.ALIGN_CENTER)
	p.box.SetHAlign(gtk.ALIGN_CENTER)
	gtkx.SetRole(p.problem, gtkx.RoleAlert)
	return p
}

func (p *startingPage) show(l viewmodel.Link) {
	p.title.SetText(p.texts.T("Parley is starting"))
	if l.State == viewmodel.Foreign {
		p.title.SetText(p.texts.T("Another Parley is running"))
	}
	p.problem.SetText(l.Problem)
	p.again.SetVisible(l.State == viewmodel.Foreign)
	if l.State == viewmodel.Connecting {
		p.spinner.Start()
	} else {
		p.spinner.Stop()
	}
}
