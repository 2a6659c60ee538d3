package app

import (
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// mainMenu is what the menu beside the search offers now.
func (w *Window) mainMenu() []widget.MenuItem {
	t := w.app.texts
	var items []widget.MenuItem
	if w.session.Stage() == viewmodel.Opened {
		items = append(items,
			widget.MenuItem{Text: t.T("My profile"), Icon: "avatar-default-symbolic", Do: func() { w.ShowPerson(w.session.User()) }},
			widget.MenuItem{Text: t.T("Add a contact"), Icon: "contact-new-symbolic", Keys: "Ctrl+N", Do: func() { w.ShowAddContact("") }},
			widget.MenuItem{})
	}
	return append(items,
		widget.MenuItem{Text: t.T("Preferences"), Icon: "preferences-system-symbolic", Keys: "Ctrl+,", Do: func() { w.ShowPreferences("") }},
		widget.MenuItem{Text: t.T("Quit"), Icon: "application-exit-symbolic", Keys: "Ctrl+Q", Do: w.app.quit})
}
