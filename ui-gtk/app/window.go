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
)

// Window is the window of one profile. It implements widget.Window.
type Window struct {
	app     *App
	profile string
	session *viewmodel.Session
	native  *gtk.Window

	titlebar *gtk.Box
	content  *gtk.Box
	frame    *frame
	sidebar  *roster.Sidebar
	chats    *conversation.Pane
	settings *settings.Preferences
	toast    *toast
	notifier *viewmodel.Notifier
	painting bool // the picture after a key is being waited for

	owned []func() // stop what observes for the pages
	kept  []func() // stop what observes for the window, however often it is drawn
}

// Names of the pages.
const (
	pageStarting = "starting"
	pageWelcome  = "welcome"
	pageMain     = "main"
)

func newWindow(a *App, profile string, s *viewmodel.Session) (*Window, error) {
	native, err := gtk.WindowNew(gtk.WINDOW_TOPLEVEL)
	if err != nil {
		return nil, fmt.Errorf("make the window: %w", err)
	}
	w := &Window{app: a, profile: profile, session: s, native: native}
	p := a.preferences.Value.Get()
	native.SetTitle("Parley")
	native.SetIconName(iconName)
	native.SetDefaultSize(p.Width, p.Height)
	native.SetSizeRequest(360, 300)
	native.Connect("destroy", w.end)
	native.Connect("delete-event", w.closing)
	w.connectKeys()
	w.titlebar, _ = gtk.BoxNew(gtk.ORIENTATION_VERTICAL, 0)
	w.content, _ = gtk.BoxNew(gtk.ORIENTATION_VERTICAL, 0)
	native.SetTitlebar(w.titlebar)
	native.Add(w.content)
	w.kept = append(w.kept,
		s.Failures.Observe(w.Toast),
		s.Notices.Observe(func(n *controlpb.Notice) { w.Toast(s.NoticeText(n)) }),
		a.preferences.Value.Observe(func(viewmodel.Preferences) {
			if w.frame != nil {
				w.frame.resize()
			}
		}))
	stage := viewmodel.Starting
	w.kept = append(w.kept, s.Status.Observe(func(st *controlpb.Status) {
		if now := s.Stage(); now != stage {
			stage = now
			w.staged(st)
		}
	}))
	w.draw()
	return w, nil
}

// staged notes how far the account is now.
func (w *Window) staged(st *controlpb.Status) {
	if at := st.GetDirectory().GetAddress(); w.session.Stage() == viewmodel.Opened && at != w.app.preferences.Value.Get().Directory {
		w.app.prefer(func(p *viewmodel.Preferences) { p.Directory = at })
	}
	w.app.retitle()
	// Not now: the pages have not heard of it yet.
	w.app.loop.Post(w.app.followWaiting)
}

// closing is called when the window is to be closed, and says whether it stays.
func (w *Window) closing() (stays bool) {
	w.keepSize()
	if !w.app.background() {
		if len(w.app.windows) > 1 {
			w.native.Connect("destroy", w.app.remember)
		}
		return false
	}
	w.native.Hide()
	return true
}

// draw makes all pages; also anew, when the language has changed.
func (w *Window) draw() {
	w.release()
	preferences := ""
	if w.settings != nil {
		preferences = w.settings.Shown()
		w.settings.Close()
	}
	w.settings = settings.New(w)
	if w.frame != nil {
		w.frame.destroy()
	}
	w.sidebar = roster.New(w)
	w.chats = conversation.New(w)
	w.toast = newToast(w.app.texts)
	w.frame = newFrame(w, parts{
		sidebar: w.sidebar.Widget(), chats: w.chats.Widget(), chatsHeader: w.chats.Header(), welcome: welcome.New(w).Widget(),
	})
	w.titlebar.PackStart(w.frame.titles, true, true, 0)
	w.content.PackStart(w.frame.body, true, true, 0)
	w.titlebar.ShowAll()
	w.content.ShowAll()
	w.Own(w.session.Status.Observe(func(*controlpb.Status) { w.frame.show(w.session.Stage()) }))
	w.Own(w.session.Link.Observe(w.frame.showLink))
	w.Own(w.session.Panes.Layout.Observe(w.frame.arrange))
	if chat := w.session.Panes.Chat.Get(); chat != "" {
		w.chats.Open(chat, nil)
	}
	if preferences != "" { // where the language was changed
		w.settings.Show(preferences)
	}
}

// release stops what observes for the pages.
func (w *Window) release() {
	for _, stop := range w.owned {
		stop()
	}
	w.owned = nil
}

// end stops all that observes for the window.
func (w *Window) end() {
	w.release()
	for _, stop := range w.kept {
		stop()
	}
	w.kept = nil
}

// keepSize remembers how large the window is.
func (w *Window) keepSize() {
	if w.native.IsMaximized() {
		return
	}
	width, height := w.native.GetSize()
	w.app.prefer(func(p *viewmodel.Preferences) { p.Width, p.Height = width, height })
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
func (w *Window) OpenChat(chat string, message []byte) {
	w.session.Panes.Open(chat)
	w.chats.Open(chat, message)
}

// ShowPerson implements widget.Window.
func (w *Window) ShowPerson(user string) { roster.ShowPerson(w, user) }

// ShowGroup implements widget.Window.
func (w *Window) ShowGroup(chat string) { roster.ShowGroup(w, chat) }

// ShowNewGroup implements widget.Window.
func (w *Window) ShowNewGroup() { roster.ShowNewGroup(w) }

// ShowAddContact implements widget.Window.
func (w *Window) ShowAddContact(user string) { roster.ShowAddContact(w, user) }

// ShowPreferences implements widget.Window.
func (w *Window) ShowPreferences(page string) { w.settings.Show(page) }

// Toast implements widget.Window.
func (w *Window) Toast(text string) { w.toast.show(text) }

// Own implements widget.Window.
func (w *Window) Own(stop func()) { w.owned = append(w.owned, stop) }
