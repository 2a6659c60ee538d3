package settings

import (
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// secretEntry is a field for a password.
func secretEntry(name string) *gtk.Entry {
	e := widget.Must(gtk.EntryNew())
	e.SetVisibility(false)
	e.SetInputPurpose(gtk.INPUT_PURPOSE_PASSWORD)
	e.SetWidthChars(22)
	gtkx.SetName(e, name)
	return e
}

// password changes the password of the directory.
func (p *Preferences) password() gtk.IWidget {
	t, s := p.window.Texts(), p.window.Session()
	old, next, again := secretEntry(t.T("Present password")), secretEntry(t.T("New password")), secretEntry(t.T("New password once more"))
	repeated := newItem(t.T("New password once more"), "", again)
	present := newItem(t.T("Present password"), "", old)
	var button *gtk.Button
	button = widget.Button(t.T("Change password"), func() {
		oldText, newText := widget.Must(old.GetText()), widget.Must(next.GetText())
		present.setProblem("")
		repeated.setProblem("")
		if newText != widget.Must(again.GetText()) {
			repeated.setProblem(t.T("The two are not the same."))
			return
		}
		button.SetSensitive(false)
		s.ChangePassword(oldText, newText, func(problem string) {
			if p.native == nil {
				return
			}
			button.SetSensitive(true)
			present.setProblem(problem)
			if problem == "" {
				for _, e := range []*gtk.Entry{old, next, again} {
					e.SetText("")
				}
				p.window.Toast(t.T("The password was changed."))
			}
		})
	})
	button.SetHAlign(gtk.ALIGN_START)
	return widget.Column(12, group(t.T("Password"), "", present, newItem(t.T("New password"), "", next), repeated), button)
}

// leave ends the account on this device, or everywhere.
func (p *Preferences) leave() gtk.IWidget {
	t, s := p.window.Texts(), p.window.Session()
	out := widget.Button(t.T("Log out"), widget.Later(func() {
		if widget.Ask(p.native, t.T("Log out?"), t.T("Messages stay on this device, and are there again when you log in."), t.T("Log out"), t.T("Cancel"), false) {
			s.LogOut()
			p.Close()
		}
	}))
	password := secretEntry(t.T("Password"))
	var gone *item
	remove := widget.Button(t.T("Delete account"), widget.Later(func() {
		if !widget.Ask(p.native, t.T("Delete the account?"), t.T("The directory forgets you, and nobody can reach you any more. What is stored on this device stays."), t.T("Delete account"), t.T("Cancel"), true) {
			return
		}
		s.DeleteAccount(widget.Must(password.GetText()), func(problem string) {
			if p.native == nil {
				return
			}
			gone.setProblem(problem)
			if problem == "" {
				p.Close()
			}
		})
	}), "destructive-action")
	gone = newItem(t.T("Delete account"), t.T("Needs your password"), widget.Row(8, password, remove))
	return group(t.T("Leave"), "", newItem(t.T("Log out"), t.T("On this device"), out), gone)
}
