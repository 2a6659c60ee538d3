package app

import (
	"slices"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
)

// maxWaiting bounds the links that wait for an account.
const maxWaiting = 16

// follow follows a link to a person, in the window of an account that can: it asks
// whom to add, and does nothing by itself.
func (a *App) follow(link string) {
	user, directory, err := viewmodel.ParseLink(link)
	if err != nil {
		a.say(a.texts.F("“%s” is not a link to somebody. One looks like parley:bob", client.PrintableLine(shorten(link))))
		return
	}
	var later, elsewhere *Window
	for _, w := range a.ordered() {
		switch w.session.Follows(directory) {
		case viewmodel.FollowHere:
			w.native.Present()
			w.ShowAddContact(link)
			return
		case viewmodel.FollowLater:
			later = w
		case viewmodel.FollowElsewhere:
			elsewhere = w
		}
	}
	switch {
	case later != nil:
		// Once an account is open, it is tried again.
		if len(a.waiting) < maxWaiting && !slices.Contains(a.waiting, link) {
			a.waiting = append(a.waiting, link)
		}
		if later.session.Stage() != viewmodel.Starting {
			later.native.Present()
			later.Toast(a.texts.F("Log in to add %s.", user))
		}
	case elsewhere != nil:
		elsewhere.native.Present()
		elsewhere.Toast(a.texts.F("%[1]s is at the directory %[2]s, where you have no account. Add one from the main menu.", user, client.PrintableLine(directory)))
	}
}

// followWaiting follows the links that waited for an account.
func (a *App) followWaiting() {
	waiting := a.waiting
	a.waiting = nil
	for _, link := range waiting {
		a.follow(link)
	}
}

// ordered gives the windows, that in use first.
func (a *App) ordered() []*Window {
	front := a.front()
	var list []*Window
	for _, w := range a.windows {
		if w != front {
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(x, y *Window) int {
		if x.profile < y.profile {
			return -1
		}
		return 1
	})
	if front == nil {
		return list
	}
	return append([]*Window{front}, list...)
}

// shorten cuts what is only repeated to say that it is wrong.
func shorten(s string) string {
	const most = 60
	r := []rune(s)
	if len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
