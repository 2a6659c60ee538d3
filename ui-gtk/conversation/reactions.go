package conversation

import (
	"slices"

	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/emoji"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// chipsInRow is how many reactions stand beside each other.
const chipsInRow = 8

// reactions are those below a bubble.
type reactions struct {
	*gtk.Box
	row   *messageRow
	lines []*reactionLine
}

// reactionLine is some of them beside each other, and in the last line what follows.
type reactionLine struct {
	*gtk.Box
	shown []viewmodel.Reaction
	chips *widget.Rows[viewmodel.Reaction, *reactionChip]
	more  *gtk.Label
	add   *gtk.Button
}

// drawReactions shows the reactions below the bubble.
func (r *messageRow) drawReactions() {
	if r.row.Reactions == nil {
		if r.reactions != nil {
			r.reactions.Destroy()
			r.reactions = nil
		}
		return
	}
	if r.reactions == nil {
		r.reactions = &reactions{Box: widget.Class(widget.Column(4), "reactions"), row: r}
		r.reactions.SetHAlign(gtk.ALIGN_START)
		if r.inGroup() {
			r.reactions.SetMarginStart(widget.AvatarSmall + besideAuthor)
		}
		if r.row.Message.GetOwn() {
			r.reactions.SetHAlign(gtk.ALIGN_END)
		}
		r.column.PackStart(r.reactions, false, false, 0)
		r.reactions.Show()
	}
	r.reactions.show(r.row.Reactions)
}

func (x *reactions) show(now *viewmodel.Reactions) {
	parts := slices.Collect(slices.Chunk(now.List, chipsInRow))
	for len(x.lines) < len(parts) {
		line := x.row.newReactionLine()
		x.lines = append(x.lines, line)
		x.PackStart(line, false, false, 0)
		line.ShowAll()
	}
	for _, line := range x.lines[len(parts):] {
		line.Destroy()
	}
	x.lines = x.lines[:len(parts)]
	t, mayReact := x.row.list.pane.window.Texts(), x.row.list.model.MayReact()
	for i, line := range x.lines {
		was, last := line.shown, i == len(parts)-1
		line.shown = parts[i]
		line.chips.Follow(viewmodel.Diff(was, line.shown))
		line.more.SetText("+" + t.Number(now.More))
		line.more.SetVisible(last && now.More > 0)
		line.add.SetVisible(last && mayReact)
	}
}

func (r *messageRow) newReactionLine() *reactionLine {
	chips := widget.Row(4)
	l := &reactionLine{more: widget.Line("", "dim", "small")}
	l.chips = widget.BoxRows(chips, r.newReactionChip)
	l.add = widget.IconButton("list-add-symbolic", r.list.pane.window.Texts().T("React"), func() { r.offerReactions(l.add) }, "reaction", "add")
	l.Box = widget.Row(4, chips, l.more, l.add)
	l.add.ShowAll() // what is in it, once it is seen
	l.more.SetNoShowAll(true)
	l.add.SetNoShowAll(true)
	return l
}

// reactionChip is the button of a reaction, which takes part in it or no longer.
type reactionChip struct {
	*gtk.Button
	row *messageRow
}

func (r *messageRow) newReactionChip(x viewmodel.Reaction) *reactionChip {
	c := &reactionChip{row: r, Button: widget.Button("", func() { r.list.model.Toggle(r.row.Key, x.Emoji) }, "reaction")}
	c.Update(x)
	return c
}

// Update implements widget.RowWidget.
func (c *reactionChip) Update(x viewmodel.Reaction) {
	text := x.Text
	if x.Count > 1 {
		text += " " + c.row.list.pane.window.Texts().Number(x.Count)
	}
	c.SetLabel(text)
	widget.SetClass(c, "own", x.Own)
	widget.NameIcon(c, x.Who)
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
