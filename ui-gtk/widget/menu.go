package widget

import (
	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
)

// MenuItem is a row of a menu. One without a text is a line between rows.
type MenuItem struct {
	Text string
	// Keys are shown beside the text, as people write them: "Ctrl+N".
	Keys string
	// Icon is the name of a symbolic icon before the text; none when empty.
	Icon string
	// Danger marks what cannot be undone.
	Danger bool
	Do     func()
	// Made, if it is there, makes what is shown instead of all that; it calls shut to
	// close the menu.
	Made func(shut func()) gtk.IWidget
}

// Menu makes a menu that opens at a widget. It is closed before a row does what it
// does. Its rows are made anew each time when items is called for it, so that they
// are true when it opens. The first has the keyboard then; Tab and the arrows go on to the
// others and round, Escape closes it, and where the keyboard was it is again.
func Menu(at gtk.IWidget, items func() []MenuItem) *gtk.Popover {
	p := Must(gtk.PopoverNew(at))
	column := Column(0)
	column.SetSizeRequest(200, -1)
	p.Add(column)
	p.Connect("show", func() {
		Clear(column)
		for _, item := range items() {
			column.PackStart(menuRow(p, item), false, false, 0)
		}
		column.ShowAll()
		// GTK has looked for what takes the keyboard already, and found nothing.
		p.GrabFocus()
	})
	return p
}

func menuRow(p *gtk.Popover, item MenuItem) gtk.IWidget {
	if item.Made != nil {
		return item.Made(p.Popdown)
	}
	if item.Text == "" {
		return Must(gtk.SeparatorNew(gtk.ORIENTATION_HORIZONTAL))
	}
	row := Row(12)
	if item.Icon != "" {
		row.PackStart(Icon(item.Icon, gtk.ICON_SIZE_MENU), false, false, 0)
	}
	text := Line(item.Text)
	if item.Danger {
		Class(text, "danger")
	}
	row.PackStart(text, true, true, 0)
	if item.Keys != "" {
		row.PackEnd(Line(item.Keys, "dim", "small"), false, false, 0)
	}
	b := Class(Must(gtk.ButtonNew()), "menu-row")
	b.Add(row)
	gtkx.SetName(b, item.Text)
	b.Connect("clicked", func() {
		p.Popdown()
		glib.IdleAdd(item.Do) // see Later
	})
	return b
}

// MenuButton makes a button with an icon that opens a menu.
func MenuButton(icon, name string, items func() []MenuItem) *gtk.MenuButton {
	b := Class(Must(gtk.MenuButtonNew()), "flat")
	b.SetImage(Icon(icon, gtk.ICON_SIZE_BUTTON))
	NameIcon(b, name)
	b.SetPopover(Menu(b, items))
	return b
}
