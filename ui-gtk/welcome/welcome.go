// Package welcome is what the window shows while no account is open: the first run,
// log-in, and an account that is locked.
package welcome

import (
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/widget"
)

// Page is shown in place of chats.
type Page struct{ box *gtk.Box }

// New makes the page, which follows the session's status.
func New(w widget.Window) *Page {
	return &Page{box: widget.Column(12, widget.Label(w.Texts().T("Log in")))}
}

// Widget is what is put into the window.
func (p *Page) Widget() gtk.IWidget { return p.box }
