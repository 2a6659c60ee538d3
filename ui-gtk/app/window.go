package app

import (
	"fmt"

	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/ui-gtk/conversation"
	"github.com/parley-chat/parley/ui-gtk/roster"
	"github.com/parley-chat/parley/ui-gtk/settings"
	"github.com/parley-chat/parley/ui-gtk/texts"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/welcome"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// Window is the window of one profile. It implements widget.Window.
type Window struct {
	app      *App
	session  *viewmodel.Session
	native   *gtk.Window
	pages    *gtk.Stack
	chats    *conversation.Pane
	settings *settings.Preferences
	owned    []func() // stop what observes for the pages
}

// Names of the pages.
const (
	pageWelcome = "welcome"
	pageMain    = "main"
)

func newWindow(a *App, s *viewmodel.Session) (*Window, error) {
	native, err := gtk.WindowNew(gtk.WINDOW_TOPLEVEL)
	if err != nil {
		return nil, fmt.Errorf("make the window: %w", err)
	}
	w := &Window{app: a, session: s, native: native}
	p := a.preferences.Value.Get()
	native.SetTitle("Parley")
	native.SetDefaultSize(p.Width, p.Height)
	native.SetSizeRequest(360, 300)
	native.Connect("destroy", w.release)
	w.draw()
	return w, nil
}

// draw makes all pages; also anew, when the language has changed.
func (w *Window) draw() {
	w.release()
	if w.settings != nil {
		w.settings.Close()
	}
	w.settings = settings.New(w)
	if w.pages != nil {
		w.pages.Destroy()
	}
	w.pages, _ = gtk.StackNew()
	sidebar := roster.New(w)
	w.chats = conversation.New(w)
	panes := widget.Row(0)
	panes.PackStart(sidebar.Widget(), false, false, 0)
	panes.PackStart(w.chats.Widget(), true, true, 0)
	w.pages.AddNamed(welcome.New(w).Widget(), pageWelcome)
	w.pages.AddNamed(panes, pageMain)
	w.native.SetTitlebar(w.chats.Header())
	w.native.Add(w.pages)
	w.native.ShowAll()
	w.Own(w.session.Status.Observe(func(*controlpb.Status) {
		if w.session.Open() {
			w.pages.SetVisibleChildName(pageMain)
		} else {
			w.pages.SetVisibleChildName(pageWelcome)
		}
	}))
}

// release stops what observes for the pages.
func (w *Window) release() {
	for _, stop := range w.owned {
		stop()
	}
	w.owned = nil
}

// Session implements widget.Window.
func (w *Window) Session() *viewmodel.Session { return w.session }

// Preferences implements widget.Window.
func (w *Window) Preferences() *viewmodel.PreferencesStore { return w.app.preferences }

// Texts implements widget.Window.
func (w *Window) Texts() *texts.Texts { return w.app.texts }

// Native implements widget.Window.
func (w *Window) Native() *gtk.Window { return w.native }

// OpenChat implements widget.Window.
func (w *Window) OpenChat(chat string, message []byte) { w.chats.Open(chat, message) }

// ShowPerson implements widget.Window.
func (w *Window) ShowPerson(string) {}

// ShowAddContact implements widget.Window.
func (w *Window) ShowAddContact(string) {}

// ShowPreferences implements widget.Window.
func (w *Window) ShowPreferences(page string) { w.settings.Show(page) }

// Toast implements widget.Window.
func (w *Window) Toast(string) {}

// Own implements widget.Window.
func (w *Window) Own(stop func()) { w.owned = append(w.owned, stop) }
