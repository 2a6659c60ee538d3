// Package roster is the left side of the window: search, chats, and the pages of
// people.
package roster

import (
	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// Sidebar is the search field, and below it the list of chats or what was found.
type Sidebar struct {
	window widget.Window
	box    *gtk.Box
	entry  *gtk.SearchEntry
	stack  *gtk.Stack
	chats  *chatList
	found  *foundList
}

// Names of the pages below the search field.
const (
	pageChats = "chats"
	pageFound = "found"
)

// New makes the sidebar.
func New(w widget.Window) *Sidebar {
	s := &Sidebar{window: w, box: widget.Column(0)}
	s.entry = widget.Class(widget.Must(gtk.SearchEntryNew()), "roster-search")
	s.entry.SetWidthChars(6)
	s.chats = newChatList(w, s.entry.GrabFocus)
	s.found = newFoundList(w, s.entry)
	s.stack = widget.Must(gtk.StackNew())
	s.stack.SetHHomogeneous(false)
	s.stack.AddNamed(s.chats.scroll, pageChats)
	s.stack.AddNamed(s.found.scroll, pageFound)
	s.box.PackStart(s.entry, false, false, 0)
	s.box.PackStart(s.stack, true, true, 0)
	s.connect()
	w.Own(w.Session().Search.State.Observe(s.draw))
	return s
}

// Widget is what is put into the window.
func (s *Sidebar) Widget() gtk.IWidget { return s.box }

// Search puts the cursor into the search field: for people and chats by name, or for
// messages.
func (s *Sidebar) Search(mode viewmodel.SearchMode) {
	s.window.Session().Search.Open(mode)
	s.entry.GrabFocus()
	s.entry.SelectRegion(0, -1)
}

func (s *Sidebar) connect() {
	search := s.window.Session().Search
	s.entry.Connect("changed", func() {
		text, _ := s.entry.GetText()
		search.SetQuery(text)
	})
	s.entry.Connect("stop-search", search.Close)
	s.entry.Connect("activate", s.found.activateFirst)
	s.entry.Connect("key-press-event", func(_ *gtk.SearchEntry, e *gdk.Event) bool {
		if key := gdk.EventKeyNewFromEvent(e).KeyVal(); key != gdk.KEY_Down && key != gdk.KEY_KP_Down {
			return false
		}
		if search.State.Get().Query != "" {
			return s.found.focusFirst()
		}
		return s.chats.focus()
	})
}

// draw shows the chats, or what was found.
func (s *Sidebar) draw(state viewmodel.SearchState) {
	t := s.window.Texts()
	if text, _ := s.entry.GetText(); text != state.Query {
		s.entry.SetText(state.Query)
	}
	name := t.T("Search")
	if state.Mode == viewmodel.SearchMessages {
		name = t.T("Search in all messages")
	}
	s.entry.SetPlaceholderText(name)
	gtkx.SetName(s.entry, name)
	page := pageChats
	if state.Query != "" || state.Mode == viewmodel.SearchMessages {
		page = pageFound
	}
	s.stack.SetVisibleChildName(page)
}
