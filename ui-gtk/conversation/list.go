package conversation

import (
	"slices"
	"sort"

	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// messageList draws the rows of the model, and keeps the place: what is seen stays
// where it is when rows come, go or grow above it, and at the end the end is seen.
type messageList struct {
	pane    *Pane
	model   *viewmodel.Conversation
	overlay *gtk.Overlay
	scroll  *gtk.ScrolledWindow
	box     *gtk.ListBox
	adj     *gtk.Adjustment
	rows    []*messageRow
	leaving []*messageRow // of the chat before, until those of the next come
	problem *gtk.Label

	jump     *gtk.Revealer
	count    *gtk.Label
	down     *gtk.Button
	downName string

	stick    bool // the end is seen, and stays so
	anchors  []anchor
	settling bool // rows changed, and have no sizes yet
	moving   bool // the adjustment is set here, not by a person
	place    *viewmodel.Place
	width    int  // that what is in the rows was fitted to
	taken    int  // the width of the list then
	pointing bool // follow was called, and has not looked yet
	posted   bool
}

// anchor is a row that was seen, and how far below the upper edge.
type anchor struct {
	row    *messageRow
	offset float64
}

func newMessageList(p *Pane) *messageList {
	t := p.window.Texts()
	l := &messageList{pane: p, model: p.model, stick: true}
	l.box = widget.Class(widget.Must(gtk.ListBoxNew()), "messages")
	l.box.SetSelectionMode(gtk.SELECTION_NONE)
	l.box.SetActivateOnSingleClick(false)
	l.box.SetVAlign(gtk.ALIGN_END)
	gtkx.SetName(l.box, t.T("Messages"))
	l.scroll = widget.Must(gtk.ScrolledWindowNew(nil, nil))
	// Pictures are made to fit the width; the pane may become narrower than they are.
	l.scroll.SetPolicy(gtk.POLICY_EXTERNAL, gtk.POLICY_AUTOMATIC)
	// GTK leaves black what the list does not cover, after one that was longer: this
	// column covers it.
	column := widget.Class(widget.Column(0), "behind")
	column.PackEnd(l.box, false, false, 0)
	l.scroll.Add(column)
	l.adj = l.scroll.GetVAdjustment()
	l.adj.Connect("value-changed", l.scrolled)
	l.adj.Connect("changed", l.keepEnd)
	l.box.ConnectAfter("size-allocate", l.settle)

	// Beside a bubble's own parts, what is pressed is the list.
	l.box.Connect("button-press-event", func(_ *gtk.ListBox, e *gdk.Event) bool {
		b := gdk.EventButtonNewFromEvent(e)
		if b.Button() != gdk.BUTTON_SECONDARY {
			return false
		}
		row := l.box.GetRowAtY(int(b.Y()))
		if row == nil {
			return false
		}
		i := row.GetIndex()
		return i >= 0 && i < len(l.rows) && l.rows[i].menu(e)
	})

	l.box.Connect("motion-notify-event", func() bool {
		l.follow()
		return false
	})
	l.box.Connect("set-focus-child", func() { glib.IdleAdd(l.followFocus) })
	l.box.Connect("popup-menu", func() bool {
		r := l.focused()
		return r != nil && r.menu(nil)
	})
	l.box.Connect("key-press-event", func(_ *gtk.ListBox, e *gdk.Event) bool {
		switch gdk.EventKeyNewFromEvent(e).KeyVal() {
		case gdk.KEY_Return, gdk.KEY_KP_Enter:
			r := l.focused()
			return r != nil && r.native.IsFocus() && r.menu(nil)
		}
		return false
	})

	l.count = widget.Line("", "pill")
	l.down = widget.Class(widget.Must(gtk.ButtonNew()), "jump")
	inside := widget.Column(0, widget.Icon("go-down-symbolic", gtk.ICON_SIZE_BUTTON), l.count)
	l.count.SetNoShowAll(true)
	l.down.Add(inside)
	l.down.Connect("clicked", p.model.JumpToEnd)
	l.jump = widget.Must(gtk.RevealerNew())
	l.jump.SetTransitionType(gtk.REVEALER_TRANSITION_TYPE_CROSSFADE)
	l.jump.Add(l.down)
	l.jump.SetHAlign(gtk.ALIGN_END)
	l.jump.SetVAlign(gtk.ALIGN_END)
	l.jump.SetMarginEnd(16)
	l.jump.SetMarginBottom(12)

	l.problem = widget.Label("", "dim", "problem")
	l.problem.SetHAlign(gtk.ALIGN_CENTER)
	l.problem.SetVAlign(gtk.ALIGN_CENTER)
	l.problem.SetNoShowAll(true)
	l.overlay = widget.Must(gtk.OverlayNew())
	l.overlay.Add(l.scroll)
	l.overlay.AddOverlay(l.problem)
	l.overlay.AddOverlay(l.jump)
	l.overlay.SetOverlayPassThrough(l.jump, true)

	p.window.Own(p.model.Rows.Observe(l.draw))
	p.window.Own(p.model.Places.Observe(l.goTo))
	p.window.Own(p.model.Below.Observe(func(int) { l.showJump() }))
	p.window.Own(p.model.Edges.Observe(func(viewmodel.Edges) { l.look() }))
	p.window.Own(p.model.Chat.Observe(func(string) { l.stick, l.anchors = true, nil }))
	p.window.Own(p.model.Problem.Observe(func(s string) {
		l.problem.SetText(s)
		l.problem.SetVisible(s != "")
	}))
	return l
}

// hoverAfter is how long the pointer is over a message until the button to its menu is
// there, in milliseconds: none is made for those that it only passes.
const hoverAfter = 50

// follow follows the pointer, where somebody moves it: messages that pass below it, or
// come there with another chat, are left as they are.
func (l *messageList) follow() {
	if l.pointing {
		return
	}
	l.pointing = true
	glib.TimeoutAdd(hoverAfter, func() {
		l.pointing = false
		for _, r := range l.rows {
			if over := r.native.GetStateFlags()&gtk.STATE_FLAG_PRELIGHT != 0; over != r.hovered {
				r.hovered = over
				r.beside()
			}
		}
	})
}

// focused is the row that has the keyboard, or in which something has it; or nil.
func (l *messageList) focused() *messageRow {
	child, err := l.box.GetFocusChild()
	if err != nil || child == nil {
		return nil
	}
	at := slices.IndexFunc(l.rows, func(r *messageRow) bool { return r.native.Native() == child.ToWidget().Native() })
	if at < 0 {
		return nil
	}
	return l.rows[at]
}

// followFocus tells the rows which one has the keyboard.
func (l *messageList) followFocus() {
	now := l.focused()
	for _, r := range l.rows {
		if has := r == now; has != r.focused {
			r.focused = has
			r.beside()
		}
	}
}

// draw follows the model's steps.
func (l *messageList) draw(steps []viewmodel.Change[*viewmodel.MessageRow]) {
	if !l.settling {
		l.hold()
	}
	if l.leave(steps) {
		return
	}
	l.clear()
	for _, s := range steps {
		switch s.Kind {
		case viewmodel.Inserted:
			r := newMessageRow(l, s.Row)
			l.rows = slices.Insert(l.rows, s.At, r)
			l.box.Insert(r.native, s.At)
			r.native.ShowAll()
		case viewmodel.Changed:
			l.rows[s.At].update(s.Row)
		case viewmodel.Removed:
			l.rows[s.At].destroy()
			l.rows = slices.Delete(l.rows, s.At, s.At+1)
		}
	}
	l.settling = true
	gtkx.QueueResize(l.box)
}

// leaveAfter is how long another chat's messages may stay while those of the next are
// read, in milliseconds: less than one notices.
const leaveAfter = 100

// leave keeps the rows for a moment when all of them go, and says whether it did.
// Another chat is about to come, and without an empty picture in between it comes a
// frame earlier.
func (l *messageList) leave(steps []viewmodel.Change[*viewmodel.MessageRow]) bool {
	if len(steps) != len(l.rows) || steps[len(steps)-1].Kind != viewmodel.Removed {
		return false
	}
	l.clear()
	leaving := l.rows
	l.leaving, l.rows = leaving, nil
	for _, r := range leaving {
		r.alive = false
	}
	glib.TimeoutAdd(leaveAfter, func() {
		if len(l.leaving) > 0 && l.leaving[0] == leaving[0] {
			l.clear()
		}
	})
	return true
}

// clear destroys the rows that stayed for a moment.
func (l *messageList) clear() {
	for _, r := range l.leaving {
		r.destroy()
	}
	l.leaving = nil
}

// hold notes what is seen now.
func (l *messageList) hold() {
	l.anchors = l.anchors[:0]
	top, page := l.adj.GetValue(), l.adj.GetPageSize()
	first := sort.Search(len(l.rows), func(i int) bool {
		a := l.rows[i].native.GetAllocation()
		return float64(a.GetY()+a.GetHeight()) > top
	})
	for _, r := range l.rows[first:] {
		y := float64(r.native.GetAllocation().GetY())
		if y > top+page {
			break
		}
		l.anchors = append(l.anchors, anchor{r, y - top})
	}
}

// settle puts what was seen to where it was, once the rows have their sizes.
func (l *messageList) settle() {
	// All that is in the list is fitted to the width; what is wider nevertheless, too.
	width, taken := l.scroll.GetAllocatedWidth(), l.box.GetAllocatedWidth()
	if (width != l.width || taken > width && taken != l.taken) && !l.posted {
		l.posted = true
		glib.IdleAdd(func() {
			l.posted, l.width, l.taken = false, width, taken
			for _, r := range l.rows {
				r.fit()
			}
		})
	}
	if len(l.leaving) > 0 {
		return
	}
	l.settling = false
	l.model.SetHeight(int(l.adj.GetPageSize()))
	switch {
	case l.place != nil:
		p := *l.place
		if p.At != viewmodel.AtEnd && !l.put(p) {
			break
		}
		l.place = nil
		if p.At == viewmodel.AtEnd {
			l.set(l.adj.GetUpper() - l.adj.GetPageSize())
		}
		l.stick = l.endSeen()
		l.hold()
	case l.stick:
		l.set(l.adj.GetUpper() - l.adj.GetPageSize())
	default:
		for _, a := range l.anchors {
			if a.row.alive {
				l.set(float64(a.row.native.GetAllocation().GetY()) - a.offset)
				break
			}
		}
	}
	// The model is told beside this: what it does must not change sizes now.
	glib.IdleAdd(l.look)
}

// put scrolls to a message.
func (l *messageList) put(p viewmodel.Place) bool {
	i := slices.IndexFunc(l.rows, func(r *messageRow) bool { return r.row.Key == p.Key })
	if i < 0 {
		return true
	}
	a := l.rows[i].native.GetAllocation()
	if a.GetHeight() <= 1 {
		return false
	}
	y := float64(a.GetY())
	if p.At == viewmodel.AtMiddle {
		y -= max(0, (l.adj.GetPageSize()-float64(a.GetHeight()))/2)
	}
	l.set(y)
	if p.Flash {
		l.rows[i].flash()
	}
	return true
}

func (l *messageList) set(value float64) {
	value = max(0, min(value, l.adj.GetUpper()-l.adj.GetPageSize()))
	if value == l.adj.GetValue() {
		return
	}
	l.moving = true
	l.adj.SetValue(value)
	l.moving = false
}

// goTo scrolls as soon as the rows have their sizes.
func (l *messageList) goTo(p viewmodel.Place) {
	l.place = &p
	gtkx.QueueResize(l.box)
}

func (l *messageList) atEnd() bool {
	return l.adj.GetValue() >= l.adj.GetUpper()-l.adj.GetPageSize()-4
}

// endSeen says whether the end of the chat is in sight, so that what comes shall be,
// too.
func (l *messageList) endSeen() bool { return l.atEnd() && !l.model.Edges.Get().After }

// scrolled follows a person who scrolls.
func (l *messageList) scrolled() {
	if l.moving || l.settling || l.place != nil {
		return
	}
	l.stick = l.endSeen()
	l.hold()
	l.look()
}

// keepEnd keeps the end in sight when the room for the messages changes.
func (l *messageList) keepEnd() {
	if l.stick && !l.settling && l.place == nil && len(l.leaving) == 0 {
		l.set(l.adj.GetUpper() - l.adj.GetPageSize())
	}
}

// look tells the model what is seen, and has pages read before their place is.
func (l *messageList) look() {
	if l.settling || l.place != nil || !l.box.GetMapped() || len(l.rows) == 0 {
		return
	}
	value, page, upper := l.adj.GetValue(), l.adj.GetPageSize(), l.adj.GetUpper()
	l.model.SetEnd(l.atEnd())
	if value < 1.5*page {
		l.model.ReadAbove()
	}
	if value+page > upper-1.5*page {
		l.model.ReadBelow()
	}
	l.showJump()
}

// showJump shows the button to the end while that is out of sight.
func (l *messageList) showJump() {
	t := l.pane.window.Texts()
	n := l.model.Below.Get()
	name := t.T("Jump to the end")
	if n > 0 {
		name = t.N("Jump to the end: %d new message", "Jump to the end: %d new messages", n)
		l.count.SetText(t.Number(n))
	}
	l.count.SetVisible(n > 0)
	if name != l.downName { // GTK asks the screen where the pointer is, each time
		l.downName = name
		gtkx.SetName(l.down, name)
		l.down.SetTooltipText(name)
	}
	far := l.adj.GetUpper()-l.adj.GetPageSize()-l.adj.GetValue() > 80
	l.jump.SetRevealChild(len(l.rows) > 0 && (far || l.model.Edges.Get().After || n > 0))
}

// room is how wide a message may be, in pixels.
func (l *messageList) room() int {
	width := l.scroll.GetAllocatedWidth()
	if width <= 1 {
		width = 640
	}
	return max(160, width-110)
}

// page scrolls by a page, for keys in the composer.
func (l *messageList) page(up bool) {
	by := l.adj.GetPageSize() * 0.9
	if up {
		by = -by
	}
	l.adj.SetValue(max(0, min(l.adj.GetValue()+by, l.adj.GetUpper()-l.adj.GetPageSize())))
}
