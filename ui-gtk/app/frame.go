package app

import (
	"strings"

	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// parts are what other packages made for the frame.
type parts struct {
	sidebar, chats, welcome gtk.IWidget
	chatsHeader             *gtk.HeaderBar
}

// frame is what holds the pages: the title bar, the bar about the core, the two
// panes, and the short text at the bottom.
type frame struct {
	window *Window

	titles *gtk.Stack // one for the panes, one for all other pages
	side   *gtk.HeaderBar
	chats  *gtk.HeaderBar
	back   *gtk.Button

	body     *gtk.Overlay
	pages    *gtk.Stack
	panes    *gtk.ScrolledWindow
	sidebar  *gtk.Box
	chat     *gtk.Box
	starting *startingPage
	link     *linkBar

	width  int  // of the panes, as they were drawn last
	posted bool // resize was posted, and has not run
}

func newFrame(w *Window, p parts) *frame {
	f := &frame{window: w, chats: p.chatsHeader}
	f.makeTitles()
	f.makePanes(p)
	f.starting = newStartingPage(w)
	f.pages = newStack()
	f.pages.SetTransitionType(gtk.STACK_TRANSITION_TYPE_CROSSFADE)
	f.pages.AddNamed(f.starting.box, pageStarting)
	f.pages.AddNamed(p.welcome, pageWelcome)
	f.pages.AddNamed(f.panes, pageMain)
	f.link = newLinkBar(w)
	column := widget.Column(0, f.link.revealer, newPinnedBar(w))
	column.PackStart(f.pages, true, true, 0)
	f.body, _ = gtk.OverlayNew()
	f.body.Add(column)
	f.body.AddOverlay(w.toast.revealer)
	f.body.SetOverlayPassThrough(w.toast.revealer, true)
	return f
}

// newStack makes a stack that is as wide as the page that is seen.
func newStack() *gtk.Stack {
	s, _ := gtk.StackNew()
	s.SetHHomogeneous(false)
	s.SetVHomogeneous(false)
	return s
}

func (f *frame) makeTitles() {
	w, t := f.window, f.window.app.texts
	f.side, _ = gtk.HeaderBarNew()
	widget.Class(f.side, "side")
	f.side.PackStart(widget.MenuButton("open-menu-symbolic", t.T("Main menu"), w.mainMenu))
	f.side.PackEnd(widget.IconButton("list-add-symbolic", t.T("Add a contact"), func() { w.ShowAddContact("") }))
	f.side.SetTitle("Parley")
	f.side.SetHasSubtitle(false)
	f.back = widget.IconButton("go-previous-symbolic", t.T("Back to the chats"), func() { w.OpenChat("", nil) })
	f.back.SetNoShowAll(true)
	f.chats.PackStart(f.back)
	panes := widget.Class(widget.Row(0), "panes")
	panes.PackStart(f.side, false, true, 0)
	panes.PackStart(f.chats, true, true, 0)

	plain, _ := gtk.HeaderBarNew()
	plain.SetTitle("Parley")
	plain.SetHasSubtitle(false)
	plain.SetShowCloseButton(true)
	plain.PackStart(widget.MenuButton("open-menu-symbolic", t.T("Main menu"), w.mainMenu))
	f.titles = newStack()
	f.titles.AddNamed(plain, pageWelcome)
	f.titles.AddNamed(panes, pageMain)
}

func (f *frame) makePanes(p parts) {
	f.sidebar = widget.Class(widget.Column(0), "sidebar")
	f.sidebar.PackStart(p.sidebar, true, true, 0)
	f.chat = widget.Column(0)
	f.chat.PackStart(p.chats, true, true, 0)
	row := widget.Row(0)
	row.PackStart(f.sidebar, false, true, 0)
	row.PackStart(f.chat, true, true, 0)
	// What scrolls may be smaller than what it holds. Else the window could not be
	// made so narrow that one side folds away.
	f.panes, _ = gtk.ScrolledWindowNew(nil, nil)
	f.panes.SetPolicy(gtk.POLICY_EXTERNAL, gtk.POLICY_NEVER)
	f.panes.Add(row)
	f.panes.Connect("size-allocate", func() {
		if width := f.panes.GetAllocatedWidth(); width != f.width && !f.posted {
			// What is shown must not change while sizes are being given out.
			f.posted = true
			f.window.app.loop.Post(f.resize)
		}
	})
}

// resize tells the panes how much room there is.
func (f *frame) resize() {
	f.posted = false
	if f.window.frame != f {
		return // it was drawn anew meanwhile
	}
	if width := f.panes.GetAllocatedWidth(); width > 1 {
		f.width = width
		f.window.session.Panes.Resize(width, f.window.app.preferences.Value.Get().TextSize)
	}
}

// arrange shows the panes as they are laid out.
func (f *frame) arrange(l viewmodel.Layout) {
	side := l.SideWidth
	if !l.Chat {
		side = -1
	}
	f.side.SetSizeRequest(side, -1)
	f.sidebar.SetSizeRequest(side, -1)
	f.side.SetHExpand(!l.Chat)
	f.sidebar.SetHExpand(!l.Chat)
	for _, part := range []interface{ SetVisible(bool) }{f.side, f.sidebar} {
		part.SetVisible(l.Side)
	}
	for _, part := range []interface{ SetVisible(bool) }{f.chats, f.chat} {
		part.SetVisible(l.Chat)
	}
	f.back.SetVisible(l.Back)
	// The buttons of the window are where the system has them.
	layout, _ := property[string](f.window.app.style.settings, "gtk-decoration-layout")
	left, right, _ := strings.Cut(layout, ":")
	folded := l.Side != l.Chat
	sideLayout, chatLayout := left+":", ":"+right
	if folded {
		sideLayout, chatLayout = layout, layout
	}
	f.side.SetDecorationLayout(sideLayout)
	f.chats.SetDecorationLayout(chatLayout)
	f.side.SetShowCloseButton(true)
	f.chats.SetShowCloseButton(true)
	widget.SetClass(f.side, "folded", folded)
	widget.SetClass(f.sidebar, "folded", folded)
}

// show shows the page of a stage.
func (f *frame) show(s viewmodel.Stage) {
	page, title := pageWelcome, pageWelcome
	switch s {
	case viewmodel.Starting:
		page = pageStarting
	case viewmodel.Opened:
		page, title = pageMain, pageMain
	}
	f.pages.SetVisibleChildName(page)
	f.titles.SetVisibleChildName(title)
}

// showLink says how the window and its core stand.
func (f *frame) showLink(l viewmodel.Link) {
	f.starting.show(l)
	f.link.show(l, f.window.session.Stage() == viewmodel.Starting)
}

func (f *frame) destroy() {
	f.titles.Destroy()
	f.body.Destroy()
}

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
