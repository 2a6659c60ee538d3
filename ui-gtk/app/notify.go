package app

import (
	"image"
	"strings"

	"github.com/parley-chat/parley/ui-gtk/notify"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
)

// notePicture is the side of the pictures of people in notifications, in pixels: that
// of those in the list of chats, which were decoded already.
const notePicture = 44

// newNotifier makes what shows notifications of all windows on the desktop.
func (a *App) newNotifier() *notify.Notifier {
	return notify.New(notify.Config{
		App: "Parley", Icon: iconName, DesktopEntry: iconName, Log: a.cfg.Log,
		// It asks from a goroutine of its own, and the texts belong to the loop.
		Texts: func() notify.Texts {
			texts := make(chan notify.Texts, 1)
			a.loop.Post(func() {
				t := a.texts
				texts <- notify.Texts{
					Open: t.T("Open"), Reply: t.T("Reply"), MarkRead: t.T("Mark as read"), ReplyHint: t.T("Write a message"), Hidden: t.T("New messages"),
				}
			})
			select {
			case x := <-texts:
				return x
			case <-a.ctx.Done():
				return notify.Texts{}
			}
		},
		Event: func(e notify.Event) { a.loop.Post(func() { a.noted(e) }) },
	})
}

// tell shows on the desktop what a window's notifier tells.
func (a *App) tell(w *Window) {
	w.notifier = viewmodel.NewNotifier(w.session, a.preferences)
	key := func(of string) string { return w.profile + "/" + of }
	w.notifier.Notes.Observe(func(n viewmodel.Note) {
		m := notify.Message{Chat: key(n.Key), Title: n.Title, Body: n.Body, NoReply: !n.Reply}
		if len(n.Avatar) > 0 {
			// What was decoded before comes at once. The notification does not wait
			// for what was not: it may be none.
			w.session.Avatars.Show(n.Avatar, notePicture, func(img *image.RGBA) {
				if m.Picture == nil {
					m.Picture = img
				}
			})
		}
		a.notifier.Show(m)
	})
	w.notifier.Gone.Observe(func(of string) { a.notifier.Close(key(of)) })
}

// noted does what a person wants who did something with a notification.
func (a *App) noted(e notify.Event) {
	profile, key, _ := strings.Cut(e.Chat, "/")
	w := a.windows[profile]
	if w == nil {
		return
	}
	chat, user := viewmodel.NoteChat(key)
	switch e.Kind {
	case notify.Replied:
		w.notifier.Reply(chat, e.Text)
	case notify.MarkRead:
		w.notifier.MarkRead(chat)
	case notify.Opened, notify.Replying:
		if err := a.open(profile, true, e.Token); err != nil {
			w.Toast(err.Error())
		}
		if user != "" {
			w.ShowPerson(user)
		} else if w.session.Chats.Get(chat) != nil {
			w.OpenChat(chat, nil)
		}
	}
}
