package app

import (
	"strings"

	"github.com/gotk3/gotk3/gtk"

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
	f.side.PackEnd(widget.MenuButton("list-add-symbolic", t.T("Add"), func() []widget.MenuItem {
		items := []widget.MenuItem{{Text: t.T("Add a contact"), Icon: "contact-new-symbolic", Keys: viewmodel.KeysOf(viewmodel.CommandAddContact), Do: func() { w.ShowAddContact("") }}}
		if w.session.Groups.Available.Get() {
			items = append(items, widget.MenuItem{Text: t.T("New group"), Icon: "system-users-symbolic", Keys: viewmodel.KeysOf(viewmodel.CommandNewGroup), Do: w.ShowNewGroup})
		}
		return items
	}))
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
