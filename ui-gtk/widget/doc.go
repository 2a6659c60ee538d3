// Package widget is what the window's pages share: what they may ask of the window
// they are in, and small widgets that look and behave alike everywhere.
package widget

import (
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/texts"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
)

// Window is what a page may ask of the window it is in. All is for the GTK thread.
type Window interface {
	Session() *viewmodel.Session
	Preferences() *viewmodel.PreferencesStore
	Texts() *texts.Texts
	// Native is the window as GTK knows it, for dialogs on top of it.
	Native() *gtk.Window

	// OpenChat shows a chat: at a message, or where reading stopped when it is nil.
	OpenChat(chat string, message []byte)
	// ShowPerson shows the page of a contact, or of oneself.
	ShowPerson(user string)
	// ShowGroup shows the page of a group.
	ShowGroup(chat string)
	// ShowNewGroup asks for a group to be made.
	ShowNewGroup()
	// ShowAddContact asks whom to add; user may be given already.
	ShowAddContact(user string)
	// ShowPreferences shows a page of the preferences: "", "appearance",
	// "notifications", "files", "privacy", "plugins", "network", "account".
	ShowPreferences(page string)
	// Toast shows a short text for a while.
	Toast(text string)
	// Own has stop called when the window is closed or drawn anew: give it what
	// Observe gave.
	Own(stop func())
}
