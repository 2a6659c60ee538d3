// Package settings is the preferences: of the window, of the core and of plugins.
package settings

import "github.com/parley-chat/parley/ui-gtk/widget"

// Show opens the preferences at a page; see widget.Window.
func Show(w widget.Window, page string) {
	w.Toast(page)
}
