package widget

import (
	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"
	"github.com/gotk3/gotk3/pango"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
)

// Must is for what GTK refuses only when its types do not exist: not a condition
// that a running program meets.
func Must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

// Class adds CSS classes to a widget, and gives it back.
func Class[T gtk.IWidget](w T, classes ...string) T {
	for _, c := range classes {
		gtkx.SetClass(w, c, true)
	}
	return w
}

// SetClass adds or removes a CSS class.
func SetClass(w gtk.IWidget, class string, on bool) { gtkx.SetClass(w, class, on) }

// Box makes a box with its children, which keep their size.
func Box(orientation gtk.Orientation, spacing int, children ...gtk.IWidget) *gtk.Box {
	b := Must(gtk.BoxNew(orientation, spacing))
	for _, c := range children {
		b.PackStart(c, false, false, 0)
	}
	return b
}

// Row is a horizontal Box, Column a vertical one.
func Row(spacing int, children ...gtk.IWidget) *gtk.Box {
	return Box(gtk.ORIENTATION_HORIZONTAL, spacing, children...)
}

// Column is a vertical Box.
func Column(spacing int, children ...gtk.IWidget) *gtk.Box {
	return Box(gtk.ORIENTATION_VERTICAL, spacing, children...)
}

// Label makes a label that wraps and starts at the left of a text written from
// left to right.
func Label(text string, classes ...string) *gtk.Label {
	l := Must(gtk.LabelNew(text))
	l.SetXAlign(0)
	l.SetLineWrap(true)
	l.SetLineWrapMode(pango.WRAP_WORD_CHAR)
	return Class(l, classes...)
}

// Line makes a label of one line, which ends in dots where there is no room.
func Line(text string, classes ...string) *gtk.Label {
	l := Must(gtk.LabelNew(text))
	l.SetXAlign(0)
	l.SetEllipsize(pango.ELLIPSIZE_END)
	return Class(l, classes...)
}

// Plain makes a label of one short line, which is always seen in full.
func Plain(text string, classes ...string) *gtk.Label {
	l := Must(gtk.LabelNew(text))
	l.SetXAlign(0)
	return Class(l, classes...)
}

// Button makes a button with a text, and what it does, which may be nil.
func Button(text string, do func(), classes ...string) *gtk.Button {
	b := Must(gtk.ButtonNewWithLabel(text))
	if do != nil {
		b.Connect("clicked", do)
	}
	return Class(b, classes...)
}

// IconButton makes a button with an icon, whose name is told to those who do not
// see it, and shown when the pointer rests on it.
func IconButton(icon, name string, do func(), classes ...string) *gtk.Button {
	b := Must(gtk.ButtonNewFromIconName(icon, gtk.ICON_SIZE_BUTTON))
	NameIcon(b, name)
	if do != nil {
		b.Connect("clicked", do)
	}
	return Class(b, append(classes, "flat")...)
}

// NameIcon gives another name to what shows an icon alone.
func NameIcon(b interface {
	gtk.IWidget
	SetTooltipText(string)
}, name string) {
	b.SetTooltipText(name)
	gtkx.SetName(b, name)
}

// Icon makes an icon that only repeats what a text beside it says.
func Icon(name string, size gtk.IconSize, classes ...string) *gtk.Image {
	return Class(Must(gtk.ImageNewFromIconName(name, size)), classes...)
}

// OpenLock is an open lock in red, with words or without them, of what is not
// encrypted; text says so to those who do not see it.
func OpenLock(text string, words bool) *gtk.Box {
	icon := Class(Must(gtk.ImageNewFromIconName("changes-allow-symbolic", gtk.ICON_SIZE_MENU)), "danger")
	icon.SetPixelSize(14)
	row := Row(4, icon)
	if words {
		row.PackStart(Line(text, "danger", "small"), false, false, 0)
	} else {
		icon.SetTooltipText(text)
		gtkx.SetName(icon, text)
	}
	return row
}

// centeredWidth is how wide a column is that has a page for itself, in pixels: as much
// as the smallest window has room for.
const centeredWidth = 320

// Centered puts a column into the middle of a page that scrolls.
func Centered(column *gtk.Box) *gtk.ScrolledWindow {
	column.SetSizeRequest(centeredWidth, -1)
	column.SetHAlign(gtk.ALIGN_CENTER)
	column.SetVAlign(gtk.ALIGN_CENTER)
	column.SetMarginTop(24)
	column.SetMarginBottom(24)
	column.SetMarginStart(20)
	column.SetMarginEnd(20)
	return Scrolled(column)
}

// Scrolled makes a place that scrolls up and down around a child.
func Scrolled(child gtk.IWidget) *gtk.ScrolledWindow {
	s := Must(gtk.ScrolledWindowNew(nil, nil))
	s.SetPolicy(gtk.POLICY_NEVER, gtk.POLICY_AUTOMATIC)
	s.Add(child)
	return s
}

// Clear destroys all children of a container. Removing them alone would leak them
// with their handlers.
func Clear(c interface{ GetChildren() *glib.List }) {
	c.GetChildren().Foreach(func(item any) {
		if w, ok := item.(*gtk.Widget); ok {
			w.Destroy()
		}
	})
}
