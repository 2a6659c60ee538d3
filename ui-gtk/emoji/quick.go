package emoji

import (
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// Quick makes a row of the reactions that are used most, and a button for others.
func Quick(w widget.Window, chosen func(emoji string), others func()) gtk.IWidget {
	e := w.Session().Emojis
	row := widget.Class(widget.Row(0), "emoji-quick")
	draw := func(list []viewmodel.Emoji) {
		widget.Clear(row)
		for _, x := range list {
			row.PackStart(emojiButton(x, chosen), false, false, 0)
		}
		row.PackStart(widget.IconButton("list-add-symbolic", w.Texts().T("Other reactions"), others), false, false, 0)
		row.ShowAll()
	}
	stop := e.Quick.Observe(draw)
	row.Connect("destroy", stop)
	e.AskQuick()
	return row
}
