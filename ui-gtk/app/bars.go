package app

import (
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// linkBar is the bar on top that says that the core is gone, or is another one.
type linkBar struct {
	window   *Window
	revealer *gtk.Revealer
	text     *gtk.Label
	replace  *gtk.Button
}

func newLinkBar(w *Window) *linkBar {
	b := &linkBar{window: w, text: widget.Line("")}
	gtkx.SetRole(b.text, gtkx.RoleAlert)
	b.replace = widget.Button(w.app.texts.T("Quit the other Parley"), func() { w.session.Replace() })
	b.replace.SetNoShowAll(true)
	row := widget.Class(widget.Row(12), "link-bar")
	row.PackStart(widget.Icon("dialog-warning-symbolic", gtk.ICON_SIZE_MENU, "warn"), false, false, 0)
	row.PackStart(b.text, true, true, 0)
	row.PackEnd(b.replace, false, false, 0)
	b.revealer, _ = gtk.RevealerNew()
	b.revealer.SetTransitionDuration(150)
	b.revealer.Add(row)
	return b
}

func (b *linkBar) show(l viewmodel.Link, starting bool) {
	t := b.window.app.texts
	if l.State == viewmodel.Foreign {
		b.text.SetText(l.Problem)
	} else if l.State == viewmodel.Lost {
		b.text.SetText(t.T("Parley has stopped in the background, and is being started again. What you write stays here."))
		b.text.SetTooltipText(l.Problem)
	}
	b.replace.SetVisible(l.State == viewmodel.Foreign)
	b.revealer.SetRevealChild(!starting && (l.State == viewmodel.Lost || l.State == viewmodel.Foreign))
}

// newPinnedBar makes the bar that tells the fingerprint of a directory which was met
// for the first time.
func newPinnedBar(w *Window) *gtk.Revealer {
	t, login := w.app.texts, w.session.Login
	text := widget.Label("")
	text.SetSelectable(true)
	gtkx.SetRole(text, gtkx.RoleAlert)
	row := widget.Class(widget.Row(12, widget.Icon("security-medium-symbolic", gtk.ICON_SIZE_MENU)), "link-bar", "info")
	row.PackStart(text, true, true, 0)
	seen := widget.Button(t.T("Understood"), login.Seen)
	seen.SetVAlign(gtk.ALIGN_CENTER)
	row.PackEnd(seen, false, false, 0)
	bar := widget.Must(gtk.RevealerNew())
	bar.Add(row)
	w.Own(login.Pinned.Observe(func(fingerprint string) {
		if fingerprint != "" {
			text.SetText(t.F("This directory was met for the first time, and is trusted from now on. Compare its fingerprint with the one that who runs it tells you: %s", client.PrintableLine(fingerprint)))
		}
		bar.SetRevealChild(fingerprint != "")
	}))
	return bar
}
