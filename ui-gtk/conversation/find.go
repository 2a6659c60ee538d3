package conversation

import (
	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// findBar is the search in a chat.
type findBar struct {
	pane     *Pane
	revealer *gtk.Revealer
	entry    *gtk.SearchEntry
	count    *gtk.Label
	up, down *gtk.Button
}

func newFindBar(p *Pane) *findBar {
	t := p.window.Texts()
	f := &findBar{pane: p}
	f.entry = widget.Must(gtk.SearchEntryNew())
	f.entry.SetPlaceholderText(t.T("Search in this chat"))
	gtkx.SetName(f.entry, t.T("Search in this chat"))
	f.entry.Connect("changed", func() {
		text, _ := f.entry.GetText()
		p.model.Find(text)
	})
	f.entry.Connect("activate", func() { p.model.FindNext(false) })
	f.entry.Connect("key-press-event", func(_ *gtk.SearchEntry, e *gdk.Event) bool {
		k := gdk.EventKeyNewFromEvent(e)
		switch {
		case k.KeyVal() == gdk.KEY_Escape:
			f.close()
		case k.KeyVal() == gdk.KEY_Up:
			p.model.FindNext(false)
		case k.KeyVal() == gdk.KEY_Down, k.KeyVal() == gdk.KEY_Return && gdk.ModifierType(k.State())&gdk.SHIFT_MASK != 0: //nolint:gosec // bits of the keyboard
			p.model.FindNext(true)
		default:
			return false
		}
		return true
	})
	f.count = widget.Line("", "dim", "small")
	gtkx.SetRole(f.count, gtkx.RoleStatusBar)
	f.up = widget.IconButton("go-up-symbolic", t.T("Older"), func() { p.model.FindNext(false) })
	f.down = widget.IconButton("go-down-symbolic", t.T("Newer"), func() { p.model.FindNext(true) })
	row := widget.Class(widget.Row(6), "find")
	row.PackStart(f.entry, true, true, 0)
	for _, w := range []gtk.IWidget{f.count, f.up, f.down, widget.IconButton("window-close-symbolic", t.T("Close search"), f.close)} {
		row.PackStart(w, false, false, 0)
	}
	f.revealer = widget.Must(gtk.RevealerNew())
	f.revealer.SetTransitionDuration(120)
	f.revealer.Add(row)
	p.window.Own(p.model.Finding.Observe(f.show))
	return f
}

func (f *findBar) open() {
	if !f.pane.model.Finding.Get().Open {
		f.pane.model.OpenFind(true)
		f.entry.SetText("")
	}
	f.entry.GrabFocus()
}

func (f *findBar) close() {
	f.pane.model.OpenFind(false)
	f.entry.SetText("")
	f.pane.composer.focus()
}

func (f *findBar) show(x viewmodel.ChatFind) {
	t := f.pane.window.Texts()
	f.revealer.SetRevealChild(x.Open)
	f.up.SetSensitive(x.Count > 1)
	f.down.SetSensitive(x.Count > 1)
	switch {
	case x.Query == "" || x.Busy:
		f.count.SetText("")
	case x.Count == 0:
		f.count.SetText(t.T("Nothing found"))
	case x.More:
		// Translators: which of how many at least that were found.
		f.count.SetText(t.F("%[1]s of more than %[2]s", t.Number(x.At), t.Number(x.Count)))
	default:
		f.count.SetText(t.F("%[1]s of %[2]s", t.Number(x.At), t.Number(x.Count)))
	}
}
