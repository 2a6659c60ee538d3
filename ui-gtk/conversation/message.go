package conversation

import (
	"fmt"
	"slices"

	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// messageRow is the widget of a message.
type messageRow struct {
	list   *messageList
	row    *viewmodel.MessageRow
	native *gtk.ListBoxRow
	column *gtk.Box // of the row; nil until it is drawn
	line   *gtk.Box // of the column: the bubble, and what is beside it
	bubble *gtk.Box
	more   *gtk.Button  // to the menu; nil while nobody is at the message
	lines  []*gtk.Label // of text that is not wrapped
	foot   *foot
	file   *fileCard
	alive  bool

	reactions *reactions // nil without

	hovered, focused bool // somebody is at it, with the pointer or the keyboard
	menus            int  // that are open
}

func newMessageRow(l *messageList, row *viewmodel.MessageRow) *messageRow {
	r := &messageRow{list: l, row: row, native: widget.Must(gtk.ListBoxRowNew()), alive: true}
	r.native.SetSelectable(false)
	r.native.SetActivatable(false)
	r.native.Connect("button-press-event", func(_ *gtk.ListBoxRow, e *gdk.Event) bool {
		return gdk.EventButtonNewFromEvent(e).Button() == gdk.BUTTON_SECONDARY && r.menu(e)
	})
	r.draw()
	return r
}

func (r *messageRow) destroy() {
	r.alive = false
	r.native.Destroy()
}

// update shows the message as it is now. The keyboard, if what has it goes, is at the
// message then.
func (r *messageRow) update(row *viewmodel.MessageRow) {
	held := gtkx.HoldsFocus(r.native)
	r.show(row)
	if held && gtkx.LostFocus(r.native) {
		r.native.GrabFocus()
	}
}

// show draws what has changed, and keeps what is the same: what is selected stays
// selected.
func (r *messageRow) show(row *viewmodel.MessageRow) {
	was := r.row
	r.row = row
	if was.Content != row.Content || was.Day != row.Day || was.New != row.New || was.First != row.First || was.Author != row.Author || was.Event != row.Event ||
		was.Problem != row.Problem || was.Unsent != row.Unsent || (was.File == nil) != (row.File == nil) {
		r.draw()
		r.native.ShowAll()
		return
	}
	if row.Event != "" {
		gtkx.SetName(r.native, row.Label)
		return
	}
	if was.File != row.File {
		r.file.show(row.File)
	}
	if was.Reactions != row.Reactions {
		r.drawReactions()
	}
	r.classes()
	r.foot.show(row)
	gtkx.SetName(r.native, row.Label)
}

// draw makes all anew.
func (r *messageRow) draw() {
	if r.column != nil {
		r.column.Destroy()
	}
	p, t, row := r.list.pane, r.list.pane.window.Texts(), r.row
	r.column = widget.Column(0)
	if row.Day != "" {
		day := widget.Line(row.Day, "chip", "day")
		day.SetHAlign(gtk.ALIGN_CENTER)
		r.column.PackStart(day, false, false, 0)
	}
	if row.New {
		line := widget.Class(widget.Row(8), "new")
		left, right := widget.Must(gtk.SeparatorNew(gtk.ORIENTATION_HORIZONTAL)), widget.Must(gtk.SeparatorNew(gtk.ORIENTATION_HORIZONTAL))
		for _, s := range []*gtk.Separator{left, right} {
			s.SetVAlign(gtk.ALIGN_CENTER)
			s.SetHExpand(true)
		}
		line.PackStart(left, true, true, 0)
		line.PackStart(widget.Line(t.T("New"), "small"), false, false, 0)
		line.PackStart(right, true, true, 0)
		r.column.PackStart(line, false, false, 0)
	}
	r.reactions, r.more, r.lines = nil, nil, nil
	if row.Event != "" {
		r.column.PackStart(event(row), false, false, 0)
		r.file, r.foot, r.bubble, r.line = nil, nil, nil, nil
		r.native.Add(r.column)
		gtkx.SetName(r.native, row.Label)
		return
	}
	r.bubble = widget.Column(2)
	r.file, r.foot = nil, newFoot(p)
	r.fill()
	r.line = widget.Row(0)
	if r.inGroup() {
		r.author()
	}
	if row.Message.GetOwn() {
		r.line.PackEnd(r.bubble, false, false, 0)
	} else {
		r.line.PackStart(r.bubble, false, false, 0)
	}
	r.beside()
	r.column.PackStart(r.line, false, false, 0)
	if row.Problem != "" {
		r.column.PackStart(r.problem(), false, false, 0)
	}
	r.drawReactions()
	r.native.Add(r.column)
	r.classes()
	r.foot.show(row)
	gtkx.SetName(r.native, row.Label)
}

// roomForMore is how wide the button to the menu is, with its distance to the bubble,
// in pixels.
const roomForMore = 30

// beside makes the button to the menu beside the bubble while somebody is at the
// message, and else leaves its room empty: thousands of buttons that nobody sees take
// as long to make as all the rest of a message.
func (r *messageRow) beside() {
	if !r.alive || r.bubble == nil {
		return
	}
	wanted := r.hovered || r.focused || r.menus > 0
	if wanted && r.more == nil {
		r.more = widget.IconButton("view-more-horizontal-symbolic", r.list.pane.window.Texts().T("Message menu"), func() { r.menu(nil) }, "more")
		r.more.SetVAlign(gtk.ALIGN_CENTER)
		r.more.Show()
		if r.row.Message.GetOwn() {
			r.line.PackEnd(r.more, false, false, 0)
		} else {
			r.line.PackStart(r.more, false, false, 0)
		}
	} else if !wanted && r.more != nil {
		r.more.Destroy()
		r.more = nil
	}
	room, apart := roomForMore, 0
	if r.more != nil {
		width, _ := r.more.GetPreferredWidth()
		room, apart = 0, max(0, roomForMore-width)
	}
	if r.row.Message.GetOwn() {
		r.bubble.SetMarginStart(room + apart)
	} else {
		r.bubble.SetMarginEnd(room + apart)
	}
}

// inGroup says whether it is of another one, in a group, so that it is said who.
func (r *messageRow) inGroup() bool {
	return !r.row.Message.GetOwn() && r.list.pane.model.Header.Get().User == ""
}

// author makes the picture of its author beside the first of several messages, and
// leaves room beside the others.
func (r *messageRow) author() {
	if !r.row.First {
		r.bubble.SetMarginStart(widget.AvatarSmall + besideAuthor)
		return
	}
	p, user := r.list.pane, r.row.Message.GetAuthor()
	avatar := widget.NewAvatar(p.window, widget.AvatarSmall)
	avatar.ShowPerson(user)
	b := widget.Class(widget.Must(gtk.ButtonNew()), "flat", "author")
	b.SetVAlign(gtk.ALIGN_START)
	b.SetMarginEnd(besideAuthor)
	b.Add(avatar)
	b.SetTooltipText(r.row.Author)
	gtkx.SetName(b, r.row.Author)
	b.Connect("clicked", func() { p.window.ShowPerson(user) })
	r.line.PackStart(b, false, false, 0)
}

// besideAuthor lies between the picture of an author and the bubble, in pixels.
const besideAuthor = 8

// event is what happened to the group.
func event(row *viewmodel.MessageRow) gtk.IWidget {
	l := widget.Label(row.Event, "chip", "event")
	l.SetXAlign(0.5)
	l.SetJustify(gtk.JUSTIFY_CENTER)
	l.SetHAlign(gtk.ALIGN_CENTER)
	l.SetMaxWidthChars(textChars)
	l.SetTooltipText(row.Time)
	return l
}

// classes says to CSS what the message is.
func (r *messageRow) classes() {
	row := r.row
	widget.Class(r.bubble, "bubble")
	widget.SetClass(r.bubble, "own", row.Message.GetOwn())
	widget.SetClass(r.bubble, "other", !row.Message.GetOwn())
	widget.SetClass(r.bubble, "last", row.Last)
	widget.SetClass(r.bubble, "unsent", row.Unsent)
	widget.SetClass(r.bubble, "bare", row.Content.Text.Big && row.Content.Quote == nil && row.File == nil)
	widget.SetClass(r.bubble, "deleted", row.Content.Deleted)
	widget.SetClass(r.bubble, "picture", r.file != nil && r.file.picture != nil)
	widget.SetClass(r.native, "first", row.First)
}

// fill makes what is in the bubble.
func (r *messageRow) fill() {
	t, row := r.list.pane.window.Texts(), r.row
	add := func(w gtk.IWidget) { r.bubble.PackStart(w, false, false, 0) }
	if row.First && r.inGroup() {
		add(widget.Line(row.Author, "author", fmt.Sprintf("author-%d", row.Colour)))
	}
	switch {
	case row.Content.Deleted:
		add(widget.Label(t.T("Message deleted"), "dim", "gone"))
	default:
		if q := row.Content.Quote; q != nil {
			add(r.quote(q))
		}
		if row.File != nil {
			r.file = newFileCard(r, row.File)
			add(r.file.box)
		} else if row.Content.Card != nil {
			r.card(row.Content.Card)
		} else {
			r.text(row.Content.Text)
		}
	}
	add(r.foot.box)
}

func (r *messageRow) text(t viewmodel.Text) {
	for _, l := range r.list.pane.drawText(t, r.list.room(), r.menu) {
		r.bubble.PackStart(l, false, false, 0)
		if !l.GetLineWrap() {
			r.lines = append(r.lines, l)
		}
	}
	texts := r.list.pane.window.Texts()
	key := r.row.Key
	link := func(text string, full bool) {
		b := widget.Button(text, func() { r.list.model.Unfold(key, full) }, "link", "fold")
		b.SetHAlign(gtk.ALIGN_START)
		r.bubble.PackStart(b, false, false, 0)
	}
	if t.Cut {
		r.bubble.PackStart(widget.Label(texts.T("The rest is too long to be shown. Copy the message to read it."), "dim", "small"), false, false, 0)
	}
	if t.Folded {
		link(texts.T("Show all"), true)
	} else if t.Cut || r.list.model.Unfolded(key) {
		link(texts.T("Show less"), false)
	}
}

func (r *messageRow) quote(q *viewmodel.QuoteRow) gtk.IWidget {
	t := r.list.pane.window.Texts()
	column := widget.Column(0)
	if q.Author != "" {
		column.PackStart(widget.Line(q.Author, "author", "small"), false, false, 0)
	}
	line := widget.Line(q.Line, "small")
	line.SetMaxWidthChars(48)
	column.PackStart(line, false, false, 0)
	b := widget.Class(widget.Must(gtk.ButtonNew()), "quote")
	b.Add(column)
	gtkx.SetName(b, t.F("Go to the message that was answered: %s", q.Line))
	id := q.ID
	b.Connect("clicked", func() { r.list.model.Jump(id) })
	return b
}

func (r *messageRow) card(c *viewmodel.Card) {
	add := func(w gtk.IWidget) { r.bubble.PackStart(w, false, false, 0) }
	if len(c.Image) > 0 {
		v := newPictureView(r.list.pane, c.Title)
		v.size(320, 200, r.list.room())
		v.load("", c.Image)
		add(v.box)
	}
	if c.Title != "" {
		title := widget.Label(c.Title, "title")
		title.SetMaxWidthChars(textChars)
		title.SetSelectable(true)
		add(title)
	}
	r.text(c.Body)
	if len(c.Buttons) == 0 {
		return
	}
	flow := widget.Column(4)
	for _, b := range c.Buttons {
		label := widget.Line(r.list.pane.window.Session().Label(b.GetLabel()))
		label.SetMaxWidthChars(40)
		label.SetXAlign(0.5)
		button := widget.Class(widget.Must(gtk.ButtonNew()), "card-button")
		button.Add(label)
		key := r.row.Key
		button.Connect("clicked", func() { r.list.model.Press(key, b) })
		flow.PackStart(button, false, false, 0)
	}
	add(flow)
}

// problem says why a message failed, and what to do.
func (r *messageRow) problem() gtk.IWidget {
	t := r.list.pane.window.Texts()
	text := widget.Label(r.row.Problem, "danger", "small")
	text.SetMaxWidthChars(textChars)
	row := widget.Row(6, text)
	if r.row.State == viewmodel.Failed {
		key := r.row.Key
		row.PackStart(widget.Button(t.T("Try again"), func() { r.list.model.Retry(key) }, "link", "small"), false, false, 0)
	}
	row.SetHAlign(gtk.ALIGN_END)
	return row
}

// flash shows for a moment which message it is.
func (r *messageRow) flash() {
	widget.SetClass(r.native, "flash", true)
	glib.TimeoutAdd(1200, func() bool {
		if r.alive {
			widget.SetClass(r.native, "flash", false)
		}
		return false
	})
}

// fit makes what is wider than the width fit it: pictures, and text that was on one
// line.
func (r *messageRow) fit() {
	if r.alive {
		r.lines = slices.DeleteFunc(r.lines, func(l *gtk.Label) bool {
			if _, width := l.GetPreferredWidth(); width <= r.list.room() {
				return false
			}
			wrap(l, leastChars)
			return true
		})
	}
	if r.alive && r.file != nil && r.file.picture != nil {
		r.file.picture.size(r.row.File.Width, r.row.File.Height, r.list.room())
	}
}

// foot is the last line of a bubble: when, and how far.
type foot struct {
	pane  *Pane
	box   *gtk.Box
	text  *gtk.Label
	icon  *gtk.Image // nil until there was one
	ticks *gtk.Label // likewise
	said  string     // by the tooltip
}

func newFoot(p *Pane) *foot {
	f := &foot{pane: p, text: widget.Plain("", "time")}
	f.box = widget.Class(widget.Row(4, f.text), "foot")
	f.box.SetHAlign(gtk.ALIGN_END)
	return f
}

func (f *foot) show(row *viewmodel.MessageRow) {
	t := f.pane.window.Texts()
	text := row.Time
	if row.Content.Edited {
		// Translators: when a message was written, which was changed later.
		text = t.F("edited %s", row.Time)
	}
	if row.Partly {
		text = row.StateText + " · " + text
	}
	f.text.SetText(text)
	ticks, icon := "", ""
	switch row.State {
	case viewmodel.Queued:
		icon = "document-open-recent-symbolic"
	case viewmodel.Failed:
		icon = "dialog-error-symbolic"
	case viewmodel.Sent:
		ticks = "✓"
	case viewmodel.Delivered, viewmodel.Read:
		ticks = "✓✓"
	}
	f.setIcon(icon, row.State == viewmodel.Failed)
	f.setTicks(ticks, row.State == viewmodel.Read)
	if said := row.StateText; said != f.said {
		f.said = said
		f.box.SetTooltipText(said)
	}
}

// setIcon and setTicks make what most messages do not have when it is needed first.
func (f *foot) setIcon(name string, failed bool) {
	if f.icon == nil {
		if name == "" {
			return
		}
		f.icon = widget.Class(widget.Must(gtk.ImageNew()), "state")
		f.icon.SetPixelSize(11)
		f.icon.SetNoShowAll(true)
		f.box.PackStart(f.icon, false, false, 0)
	}
	f.icon.SetVisible(name != "")
	if name != "" {
		f.icon.SetFromIconName(name, gtk.ICON_SIZE_MENU)
	}
	widget.SetClass(f.icon, "failed", failed)
}

func (f *foot) setTicks(ticks string, read bool) {
	if f.ticks == nil {
		if ticks == "" {
			return
		}
		f.ticks = widget.Plain("", "ticks")
		f.ticks.SetNoShowAll(true)
		f.box.PackEnd(f.ticks, false, false, 0)
	}
	f.ticks.SetVisible(ticks != "")
	f.ticks.SetText(ticks)
	widget.SetClass(f.ticks, "read", read)
}
