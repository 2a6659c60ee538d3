package emoji

import (
	"slices"

	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// quick is one of them; it is a viewmodel.Row.
type quick struct{ viewmodel.Emoji }

// RowKey implements viewmodel.Row.
func (x quick) RowKey() string { return x.Emoji.Emoji }

// Same implements viewmodel.Row.
func (x quick) Same(other quick) bool { return x == other }

type quickButton struct{ *gtk.Button }

// Update implements widget.RowWidget.
func (b *quickButton) Update(x quick) { nameEmoji(b, x.Emoji) }

// Quick makes a row of the reactions that are used most, and a button for others.
func Quick(w widget.Window, chosen func(emoji string), others func()) gtk.IWidget {
	e := w.Session().Emojis
	row := widget.Class(widget.Row(0), "emoji-quick")
	other := widget.IconButton("list-add-symbolic", w.Texts().T("Other reactions"), others)
	row.PackStart(other, false, false, 0)
	buttons := widget.BoxRows(row, func(x quick) *quickButton { return &quickButton{emojiButton(x.Emoji, chosen)} })
	var shown []quick
	draw := func(list []viewmodel.Emoji) {
		was, held := shown, gtkx.HoldsFocus(row)
		shown = nil
		for _, x := range list {
			if !slices.ContainsFunc(shown, func(other quick) bool { return other.RowKey() == x.Emoji }) {
				shown = append(shown, quick{x})
			}
		}
		buttons.Follow(viewmodel.Diff(was, shown))
		row.ShowAll()
		if held && gtkx.LostFocus(row) {
			other.GrabFocus()
		}
	}
	stop := e.Quick.Observe(draw)
	row.Connect("destroy", stop)
	e.AskQuick()
	return row
}
