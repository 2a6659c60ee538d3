package app

import (
	"strings"

	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/internal/version"
	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// sheet opens a window above this one, which Escape closes.
func (w *Window) sheet(title string, width, height int, content gtk.IWidget) {
	s := widget.Must(gtk.WindowNew(gtk.WINDOW_TOPLEVEL))
	s.SetTitle(title)
	s.SetTransientFor(w.native)
	s.SetModal(true)
	s.SetTypeHint(gdk.WINDOW_TYPE_HINT_DIALOG)
	s.SetPosition(gtk.WIN_POS_CENTER_ON_PARENT)
	s.SetDefaultSize(width, height)
	header := widget.Must(gtk.HeaderBarNew())
	header.SetTitle(title)
	header.SetShowCloseButton(true)
	s.SetTitlebar(header)
	s.Add(content)
	gone := false
	s.Connect("destroy", func() { gone = true })
	s.Connect("key-press-event", func(_ *gtk.Window, e *gdk.Event) bool {
		if gdk.EventKeyNewFromEvent(e).KeyVal() != gdk.KEY_Escape {
			return false
		}
		s.Destroy()
		return true
	})
	w.Own(func() {
		if !gone {
			s.Destroy()
		}
	})
	s.ShowAll()
}

// showShortcuts shows the table of keys.
func (w *Window) showShortcuts() {
	t := w.app.texts
	var sides []*gtk.Box
	for range 2 {
		sides = append(sides, widget.Column(22))
	}
	columns := widget.Row(40)
	columns.SetHomogeneous(true)
	for i, g := range viewmodel.Shortcuts {
		group := widget.Column(8, widget.Label(t.T(g.Title), "heading"))
		for _, s := range g.Shortcuts {
			group.PackStart(w.shortcutRow(s), false, false, 0)
		}
		sides[i*len(sides)/len(viewmodel.Shortcuts)].PackStart(group, false, false, 0)
	}
	for _, side := range sides {
		columns.PackStart(side, true, true, 0)
	}
	w.sheet(t.T("Keyboard shortcuts"), 760, 480, widget.Scrolled(widget.Class(columns, "shortcuts")))
}

func (w *Window) shortcutRow(s viewmodel.Shortcut) gtk.IWidget {
	t := w.app.texts
	row := widget.Row(10)
	row.PackStart(widget.Label(t.T(s.Text)), true, true, 0)
	caps := widget.Row(4)
	for _, key := range strings.Split(s.Keys[0], "+") {
		caps.PackStart(widget.Line(key, "key"), false, false, 0)
	}
	caps.SetVAlign(gtk.ALIGN_CENTER)
	row.PackEnd(caps, false, false, 0)
	gtkx.SetName(row, t.T(s.Text)+", "+s.Keys[0])
	return row
}

// showAbout says what this is.
func (w *Window) showAbout() {
	t := w.app.texts
	icon := widget.Icon(iconName, gtk.ICON_SIZE_DIALOG)
	icon.SetPixelSize(96)
	center := func(l *gtk.Label) *gtk.Label {
		l.SetXAlign(0.5)
		l.SetJustify(gtk.JUSTIFY_CENTER)
		l.SetMaxWidthChars(46)
		return l
	}
	number := center(widget.Label(t.F("Version %s", version.String()), "dim"))
	core := center(widget.Label("", "dim", "small"))
	if v := w.session.Status.Get().GetVersion(); v != "" && v != version.String() {
		core.SetText(t.F("In the background runs version %s.", v))
	}
	column := widget.Column(12, icon, center(widget.Label("Parley", "huge")), number,
		center(widget.Label(t.T("Messages, files and more, directly between people and end-to-end encrypted. No company in between."))),
		core, center(widget.Label(t.T("Free software under the Apache License, version 2.0."), "dim", "small")))
	w.sheet(t.T("About Parley"), 420, 420, widget.Centered(column))
}
