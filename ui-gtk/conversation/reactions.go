package conversation

import (
	"slices"

	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/emoji"
	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// chipsInRow is how many reactions stand beside each other.
const chipsInRow = 8

// drawReactions makes the reactions below the bubble anew.
func (r *messageRow) drawReactions() {
	if r.chips != nil {
		r.chips.Destroy()
		r.chips = nil
	}
	x := r.row.Reactions
	if x == nil {
		return
	}
	t := r.list.pane.window.Texts()
	r.chips = widget.Class(widget.Column(4), "reactions")
	r.chips.SetHAlign(gtk.ALIGN_START)
	if r.inGroup() {
		r.chips.SetMarginStart(widget.AvatarSmall + besideAuthor)
	}
	if r.row.Message.GetOwn() {
		r.chips.SetHAlign(gtk.ALIGN_END)
	}
	var line *gtk.Box
	for part := range slices.Chunk(x.List, chipsInRow) {
		line = widget.Row(4)
		for _, reaction := range part {
			line.PackStart(r.reaction(reaction), false, false, 0)
		}
		r.chips.PackStart(line, false, false, 0)
	}
	if x.More > 0 {
		line.PackStart(widget.Line("+"+t.Number(x.More), "dim", "small"), false, false, 0)
	}
	if r.list.pane.model.MayReact() {
		var add *gtk.Button
		add = widget.IconButton("list-add-symbolic", t.T("React"), func() { r.offerReactions(add) }, "reaction", "add")
		line.PackStart(add, false, false, 0)
	}
	r.column.PackStart(r.chips, false, false, 0)
	r.chips.ShowAll()
}

// reaction makes the button of a reaction, which takes part in it or no longer.
func (r *messageRow) reaction(x viewmodel.Reaction) gtk.IWidget {
	t, key := r.list.pane.window.Texts(), r.row.Key
	text := x.Text
	if x.Count > 1 {
		text += " " + t.Number(x.Count)
	}
	b := widget.Button(text, func() { r.list.model.Toggle(key, x.Emoji) }, "reaction")
	widget.SetClass(b, "own", x.Own)
	b.SetTooltipText(x.Who)
	gtkx.SetName(b, x.Who)
	return b
}

// quickReactions is the row of them in the message's menu.
func (r *messageRow) quickReactions(shut func()) gtk.IWidget {
	return emoji.Quick(r.list.pane.window, func(emoji string) {
		shut()
		r.list.model.Toggle(r.row.Key, emoji)
	}, func() {
		shut()
		r.allReactions()
	})
}

// offerReactions opens that row by itself.
func (r *messageRow) offerReactions(at gtk.IWidget) {
	p := widget.Must(gtk.PopoverNew(at))
	p.Add(r.quickReactions(p.Popdown))
	p.Connect("closed", func() { glib.IdleAdd(p.Destroy) })
	widget.Must(p.GetChild()).ToWidget().ShowAll()
	p.Popup()
}

// allReactions opens the picker.
func (r *messageRow) allReactions() {
	emoji.Popup(r.list.pane.window, r.bubble, func(emoji string) { r.list.model.React(r.row.Key, emoji, true) }, func() {})
}
