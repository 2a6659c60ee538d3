package app

import (
	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// toast is a short text at the bottom, which goes away by itself.
type toast struct {
	revealer *gtk.Revealer
	text     *gtk.Label
	timer    glib.SourceHandle
}

// toastShown is for how long, in milliseconds; longer the more there is to read.
const (
	toastShown   = 3500
	toastPerRune = 45
	toastLongest = 15000
)

func newToast(t interface{ T(string) string }) *toast {
	x := &toast{text: widget.Label("")}
	x.text.SetMaxWidthChars(60)
	gtkx.SetRole(x.text, gtkx.RoleAlert)
	closing := widget.IconButton("window-close-symbolic", t.T("Close"), x.hide)
	row := widget.Class(widget.Row(8, x.text, closing), "toast")
	x.revealer, _ = gtk.RevealerNew()
	x.revealer.SetTransitionType(gtk.REVEALER_TRANSITION_TYPE_CROSSFADE)
	x.revealer.SetHAlign(gtk.ALIGN_CENTER)
	x.revealer.SetVAlign(gtk.ALIGN_END)
	x.revealer.SetMarginBottom(84)
	x.revealer.Add(row)
	x.revealer.Connect("destroy", x.stop)
	return x
}

func (x *toast) show(text string) {
	if text == "" {
		return
	}
	x.stop()
	x.text.SetText(text)
	x.revealer.SetRevealChild(true)
	x.timer = glib.TimeoutAdd(uint(min(toastShown+toastPerRune*len([]rune(text)), toastLongest)), func() bool {
		x.timer = 0
		x.revealer.SetRevealChild(false)
		return false
	})
}

func (x *toast) hide() {
	x.stop()
	x.revealer.SetRevealChild(false)
}

func (x *toast) stop() {
	if x.timer != 0 {
		glib.SourceRemove(x.timer)
		x.timer = 0
	}
}
