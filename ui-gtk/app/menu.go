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
			widget.MenuItem{Text: t.T("Add a contact"), Icon: "contact-new-symbolic", Keys: viewmodel.KeysOf(viewmodel.CommandAddContact), Do: func() { w.ShowAddContact("") }})
		if w.session.Groups.Available.Get() {
			items = append(items, widget.MenuItem{Text: t.T("New group"), Icon: "system-users-symbolic", Keys: viewmodel.KeysOf(viewmodel.CommandNewGroup), Do: w.ShowNewGroup})
		}
		items = append(items, widget.MenuItem{})
	}
	items = append(items, w.accounts()...)
	return append(items,
		widget.MenuItem{Text: t.T("Preferences"), Icon: "preferences-system-symbolic", Keys: viewmodel.KeysOf(viewmodel.CommandPreferences), Do: func() { w.ShowPreferences("") }},
		widget.MenuItem{Text: t.T("Keyboard shortcuts"), Icon: "input-keyboard-symbolic", Keys: viewmodel.KeysOf(viewmodel.CommandShortcuts), Do: w.showShortcuts},
		widget.MenuItem{Text: t.T("About Parley"), Icon: "help-about-symbolic", Do: w.showAbout},
		widget.MenuItem{},
		widget.MenuItem{Text: t.T("Quit"), Icon: "application-exit-symbolic", Keys: viewmodel.KeysOf(viewmodel.CommandQuit), Do: w.app.quit})
}

// accounts are the rows of the other accounts, and of one more.
func (w *Window) accounts() []widget.MenuItem {
	t := w.app.texts
	all, err := viewmodel.Profiles()
	if err != nil {
		w.app.cfg.Log.Warn("profiles", "error", err)
	}
	var items []widget.MenuItem
	open := func(profile string) func() {
		return func() {
			if err := w.app.open(profile, true, ""); err != nil {
				w.Toast(err.Error())
			}
		}
	}
	for _, p := range all {
		if p.Name != w.profile && p.User != "" {
			items = append(items, widget.MenuItem{Text: p.Title(), Icon: "system-users-symbolic", Do: open(p.Name)})
		}
	}
	if w.session.Stage() == viewmodel.Opened {
		items = append(items, widget.MenuItem{Text: t.T("Add an account"), Icon: "list-add-symbolic", Do: open(viewmodel.NextProfile(all))})
	}
	if len(items) > 0 {
		items = append(items, widget.MenuItem{})
	}
	return items
}
