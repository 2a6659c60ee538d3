// Package settings is the preferences: of the window, of the core and of plugins,
// and the pages that show how plugins and the network are.
package settings

import (
	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// Preferences is the window with the preferences, at most one for each window.
type Preferences struct {
	window widget.Window
	native *gtk.Window // nil while it is closed
	stack  *gtk.Stack
	nav    *gtk.ListBox
	pages  []page
	owned  []func()
}

// page is one page: built when it is first shown.
type page struct {
	name, title, icon string
	build             func(*Preferences) gtk.IWidget
	built             bool
}

// New makes the preferences of a window, closed.
func New(w widget.Window) *Preferences { return &Preferences{window: w} }

// own has stop called when the preferences are closed.
func (p *Preferences) own(stop func()) { p.owned = append(p.owned, stop) }

// Show opens the preferences at a page; see widget.Window.
func (p *Preferences) Show(name string) {
	if p.native == nil {
		p.open()
	}
	at := 0
	for i := range p.pages {
		if p.pages[i].name == name {
			at = i
		}
	}
	row := p.nav.GetRowAtIndex(at)
	p.nav.SelectRow(row)
	p.native.Present()
	row.GrabFocus()
}

// Shown is the name of the page that is shown; empty while they are closed.
func (p *Preferences) Shown() string {
	if p.native == nil {
		return ""
	}
	return p.stack.GetVisibleChildName()
}

// Close closes them.
func (p *Preferences) Close() {
	if p.native != nil {
		p.native.Destroy()
	}
}

func (p *Preferences) open() {
	t := p.window.Texts()
	p.pages = []page{
		{name: "account", title: t.T("Account"), icon: "avatar-default-symbolic", build: (*Preferences).account},
		{name: "appearance", title: t.T("Appearance"), icon: "preferences-desktop-appearance-symbolic", build: (*Preferences).appearance},
		{name: "notifications", title: t.T("Notifications"), icon: "preferences-system-notifications-symbolic", build: (*Preferences).notifications},
		{name: "files", title: t.T("Files"), icon: "folder-symbolic", build: (*Preferences).files},
		{name: "privacy", title: t.T("Privacy"), icon: "channel-secure-symbolic", build: (*Preferences).privacy},
		{name: "plugins", title: t.T("Plugins"), icon: "application-x-addon-symbolic", build: (*Preferences).plugins},
		{name: "network", title: t.T("Network"), icon: "network-wired-symbolic", build: (*Preferences).network},
	}
	p.native = widget.Must(gtk.WindowNew(gtk.WINDOW_TOPLEVEL))
	p.native.SetTitle(t.T("Preferences"))
	p.native.SetTransientFor(p.window.Native())
	p.native.SetDefaultSize(760, 600)
	p.native.SetTypeHint(gdk.WINDOW_TYPE_HINT_DIALOG)
	p.native.SetPosition(gtk.WIN_POS_CENTER_ON_PARENT)
	header := widget.Must(gtk.HeaderBarNew())
	header.SetShowCloseButton(true)
	header.SetTitle(t.T("Preferences"))
	p.native.SetTitlebar(header)
	widget.Class(p.native, "preferences")
	p.native.Connect("destroy", func() {
		for _, stop := range p.owned {
			stop()
		}
		p.owned, p.native = nil, nil
	})
	p.native.Connect("key-press-event", func(_ *gtk.Window, e *gdk.Event) bool {
		if gdk.EventKeyNewFromEvent(e).KeyVal() != gdk.KEY_Escape {
			return false
		}
		p.Close()
		return true
	})

	p.stack = widget.Must(gtk.StackNew())
	p.nav = widget.Class(widget.Must(gtk.ListBoxNew()), "preferences-nav")
	gtkx.SetName(p.nav, t.T("Pages"))
	for i := range p.pages {
		x := &p.pages[i]
		p.nav.Add(navRow(x.icon, x.title))
		p.stack.AddNamed(widget.Must(gtk.BoxNew(gtk.ORIENTATION_VERTICAL, 0)), x.name)
	}
	p.nav.Connect("row-selected", func(_ *gtk.ListBox, row *gtk.ListBoxRow) {
		if row != nil {
			p.turn(row.GetIndex())
		}
	})
	navScroll := widget.Scrolled(p.nav)
	navScroll.SetSizeRequest(190, -1)
	both := widget.Row(0, navScroll, widget.Must(gtk.SeparatorNew(gtk.ORIENTATION_VERTICAL)))
	both.PackStart(p.stack, true, true, 0)
	p.native.Add(both)
	p.native.ShowAll()
}

// turn shows a page.
func (p *Preferences) turn(at int) {
	x := &p.pages[at]
	if !x.built {
		x.built = true
		old := widget.Must(p.stack.GetChildByName(x.name))
		old.ToWidget().Destroy()
		scroll := widget.Scrolled(x.build(p))
		p.stack.AddNamed(scroll, x.name)
		scroll.ShowAll()
	}
	p.stack.SetVisibleChildName(x.name)
}

func navRow(icon, title string) *gtk.ListBoxRow {
	row := widget.Must(gtk.ListBoxRowNew())
	row.Add(widget.Row(12, widget.Must(gtk.ImageNewFromIconName(icon, gtk.ICON_SIZE_MENU)), widget.Line(title)))
	gtkx.SetName(row, title)
	return row
}
