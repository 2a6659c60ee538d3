package widget

import (
	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"
)

// Later makes of something that opens a dialog and waits for it what does so a
// moment later. Assistive technology, which presses a button by a call, would wait
// for the answer to that call until the dialog is closed, and could not be used in it.
func Later(do func()) func() { return func() { glib.IdleAdd(do) } }

// Tell explains something in a dialog above a window, until it is closed.
func Tell(above *gtk.Window, title, text, done string) {
	d := gtk.MessageDialogNew(above, gtk.DIALOG_MODAL|gtk.DIALOG_DESTROY_WITH_PARENT, gtk.MESSAGE_WARNING, gtk.BUTTONS_NONE, "%s", title)
	defer d.Destroy()
	d.FormatSecondaryText("%s", text)
	Class(Must(d.AddButton(done, gtk.RESPONSE_ACCEPT)), "suggested-action")
	d.SetDefaultResponse(gtk.RESPONSE_ACCEPT)
	d.Run()
}

// Ask asks whether to do something, in a dialog above a window, and says whether
// the answer was yes. do and leave are what the two buttons say; destructive marks
// what cannot be undone.
func Ask(above *gtk.Window, question, explanation, do, leave string, destructive bool) bool {
	d := gtk.MessageDialogNew(above, gtk.DIALOG_MODAL|gtk.DIALOG_DESTROY_WITH_PARENT, gtk.MESSAGE_QUESTION, gtk.BUTTONS_NONE, "%s", question)
	defer d.Destroy()
	if explanation != "" {
		d.FormatSecondaryText("%s", explanation)
	}
	Must(d.AddButton(leave, gtk.RESPONSE_CANCEL))
	yes := Must(d.AddButton(do, gtk.RESPONSE_ACCEPT))
	if destructive {
		Class(yes, "destructive-action")
	} else {
		Class(yes, "suggested-action")
	}
	d.SetDefaultResponse(gtk.RESPONSE_CANCEL)
	return d.Run() == gtk.RESPONSE_ACCEPT
}

// AskRemoveChat asks whether the chat of a group that one is not in is to be removed,
// and does so.
func AskRemoveChat(w Window, chat string) {
	t, chats := w.Texts(), w.Session().Chats
	row, ok := chats.Row(chat)
	if !ok {
		return
	}
	if Ask(w.Native(), t.F("Remove the chat “%s”?", row.Title), t.T("All that was said in it goes from this computer and cannot be brought back; files you received stay in their folder. Others keep what they have."), t.T("Remove chat"), t.T("Cancel"), true) {
		chats.Remove(chat)
	}
}
