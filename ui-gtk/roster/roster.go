// Package roster is the left side of the window: search, chats, and the pages of
// people.
package roster

import (
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// Sidebar is the search field and the list of chats.
type Sidebar struct {
	window widget.Window
	box    *gtk.Box
	list   *gtk.ListBox
}

// New makes the sidebar.
func New(w widget.Window) *Sidebar {
	s := &Sidebar{window: w, box: widget.Column(0)}
	s.list, _ = gtk.ListBoxNew()
	s.list.Connect("row-activated", func(_ *gtk.ListBox, row *gtk.ListBoxRow) {
		w.OpenChat(w.Session().Chats.Rows.At(row.GetIndex()).RowKey(), nil)
	})
	scroll := widget.Scrolled(s.list)
	s.box.PackStart(scroll, true, true, 0)
	w.Own(w.Session().Chats.Rows.Observe(s.draw))
	return s
}

// Widget is what is put into the window.
func (s *Sidebar) Widget() gtk.IWidget { return s.box }

func (s *Sidebar) draw(steps []viewmodel.Change[viewmodel.ChatRow]) {
	for _, step := range steps {
		if step.Kind != viewmodel.Inserted {
			s.list.GetRowAtIndex(step.At).Destroy()
		}
		if step.Kind != viewmodel.Removed {
			row := widget.Column(2, widget.Line(step.Row.Title, "chat-title"), widget.Line(step.Row.Line, "dim-label"))
			s.list.Insert(row, step.At)
			row.ShowAll()
		}
	}
}
