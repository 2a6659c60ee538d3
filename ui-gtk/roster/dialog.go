package roster

import (
	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// dialog is a window above the main one, with one column that scrolls. It is closed
// by Escape, and when the main window is closed or drawn anew.
type dialog struct {
	window widget.Window
	native *gtk.Window
	scroll *gtk.ScrolledWindow
	column *gtk.Box
	owned  []func()
	closed bool
	escape func() bool // what Escape does instead of closing it, if it did so; or nil
}

func newDialog(w widget.Window, title string, width, height int) *dialog {
	d := &dialog{window: w, native: widget.Must(gtk.WindowNew(gtk.WINDOW_TOPLEVEL))}
	d.native.SetTitle(title)
	d.native.SetTransientFor(w.Native())
	d.native.SetModal(true)
	d.native.SetTypeHint(gdk.WINDOW_TYPE_HINT_DIALOG)
	d.native.SetPosition(gtk.WIN_POS_CENTER_ON_PARENT)
	d.native.SetDefaultSize(width, height)
	header := widget.Must(gtk.HeaderBarNew())
	header.SetShowCloseButton(true)
	header.SetTitle(title)
	d.native.SetTitlebar(header)
	d.native.Connect("destroy", func() {
		d.closed = true
		for _, stop := range d.owned {
			stop()
		}
		d.owned = nil
	})
	d.native.Connect("key-press-event", func(_ *gtk.Window, e *gdk.Event) bool {
		// A menu that is open is closed first, which it does itself.
		if gdk.EventKeyNewFromEvent(e).KeyVal() != gdk.KEY_Escape || gtkx.FocusInPopover(d.native) {
			return false
		}
		if d.escape == nil || !d.escape() {
			d.close()
		}
		return true
	})
	d.column = widget.Class(widget.Column(14), "person")
	d.scroll = widget.Scrolled(d.column)
	d.native.Add(d.scroll)
	w.Own(d.close)
	return d
}

func (d *dialog) add(children ...gtk.IWidget) {
	for _, c := range children {
		d.column.PackStart(c, false, false, 0)
	}
}

// own has stop called when the dialog is closed.
func (d *dialog) own(stop func()) { d.owned = append(d.owned, stop) }

// later makes of something that is told later what does nothing once the dialog is
// closed.
func (d *dialog) later(f func(string)) func(string) {
	return func(s string) {
		if !d.closed {
			f(s)
		}
	}
}

func (d *dialog) close() {
	if !d.closed {
		d.native.Destroy()
	}
}

// field is something to be written, with its name above and what is wrong below.
type field struct {
	*gtk.Box
	entry   *gtk.Entry
	problem *gtk.Label
}

func newField(name, placeholder string) *field {
	f := &field{entry: widget.Must(gtk.EntryNew()), problem: widget.Label("", "danger", "small")}
	label := widget.Label(name, "title", "small")
	f.entry.SetPlaceholderText(placeholder)
	f.problem.SetNoShowAll(true)
	gtkx.SetRole(f.problem, gtkx.RoleAlert)
	gtkx.SetName(f.entry, name)
	f.Box = widget.Column(5, label, f.entry, f.problem)
	return f
}

func (f *field) text() string {
	s, _ := f.entry.GetText()
	return s
}

// fail says what is wrong, or with an empty text that all is well.
func (f *field) fail(problem string) {
	f.problem.SetText(problem)
	f.problem.SetVisible(problem != "")
	widget.SetClass(f.entry, "error", problem != "")
	gtkx.SetDescription(f.entry, problem)
}

// qrSide is about how large a QR code is, in GTK's pixels.
const qrSide = 190

// qrCode draws a text for a camera; name is what it is called.
func qrCode(text, name string) gtk.IWidget {
	picture := widget.Must(gtkx.NewPicture(name))
	picture.SetHAlign(gtk.ALIGN_CENTER)
	img, err := viewmodel.QR(text, qrSide)
	if err != nil {
		return picture // the text stands beside it
	}
	if pixels, err := gtkx.NewPixels(img); err == nil {
		picture.SetSizeRequest(img.Bounds().Dx(), img.Bounds().Dy())
		picture.SetStyle(gtkx.Contain, 8)
		picture.Show(pixels)
		pixels.Close()
	}
	return picture
}

// linkBox shows one's own link, with a button to copy it and as a QR code.
func linkBox(w widget.Window, link string) *gtk.Box {
	t := w.Texts()
	text := widget.Label(link, "dim", "monospace", "small")
	text.SetSelectable(true)
	text.SetCanFocus(false)
	copying := widget.Button(t.T("Copy the link"), func() {
		if err := gtkx.SetClipboard(gtkx.Clip{Text: link}); err != nil {
			w.Toast(t.T("The link could not be copied."))
			return
		}
		w.Toast(t.T("The link was copied."))
	})
	copying.SetHAlign(gtk.ALIGN_START)
	explain := widget.Label(t.T("Send your link to others, or let them scan it: it adds you as their contact."), "dim")
	return widget.Column(8, widget.Label(t.T("Your link"), "title"), explain, text, copying, qrCode(link, t.T("Your link as a QR code")))
}
