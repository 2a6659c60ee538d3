// Package conversation is the right side of the window: the messages of one chat,
// and the composer.
package conversation

import (
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/widget"
)

// Pane shows one chat.
type Pane struct {
	window widget.Window
	box    *gtk.Box
	header *gtk.HeaderBar
}

// New makes the pane, without a chat.
func New(w widget.Window) *Pane {
	p := &Pane{window: w, box: widget.Column(0)}
	p.header, _ = gtk.HeaderBarNew()
	return p
}

// Widget is what is put into the window, and Header its part of the title bar.
func (p *Pane) Widget() gtk.IWidget { return p.box }

// Header is the right part of the window's title bar.
func (p *Pane) Header() *gtk.HeaderBar { return p.header }

// Open shows a chat: at a message, or where reading stopped when it is nil. With an
// empty id it shows none.
func (p *Pane) Open(chat string, message []byte) {
	row, _ := p.window.Session().Chats.Row(chat)
	p.header.SetTitle(row.Title)
}
