package emoji

import (
	"slices"

	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

const (
	// gridRows are in sight.
	gridRows = 8
	// longPress is how long a button is held until it means more, in milliseconds.
	longPress = 500
)

// grid draws the rows of the picker. Only those in sight are widgets, which are used
// again for others.
type grid struct {
	picker *Picker
	scroll *gtk.ScrolledWindow
	layout *gtk.Layout
	adj    *gtk.Adjustment
	view   viewmodel.PickerView
	side   int // of a cell, in pixels
	drawn  map[int]*gridRow
	spare  []*gridRow
	moving bool // the keyboard goes to another cell next
}

// gridRow is the widgets of a row.
type gridRow struct {
	at      int
	box     *gtk.Box
	heading *gtk.Label
	cells   []*cell
}

// cell is a button with an emoji.
type cell struct {
	grid   *grid
	row    *gridRow
	column int
	button *gtk.Button
	label  *gtk.Label
	emoji  viewmodel.Emoji
	held   glib.SourceHandle // fires when it was pressed for long
	long   bool              // and did
}

func newGrid(p *Picker) *grid {
	g := &grid{picker: p, drawn: map[int]*gridRow{}}
	g.layout = widget.Must(gtk.LayoutNew(nil, nil))
	g.scroll = widget.Must(gtk.ScrolledWindowNew(nil, nil))
	g.scroll.SetPolicy(gtk.POLICY_NEVER, gtk.POLICY_AUTOMATIC)
	g.scroll.SetOverlayScrolling(false)
	g.scroll.Add(g.layout)
	g.adj = g.scroll.GetVAdjustment()
	g.adj.Connect("value-changed", g.refresh)
	// How large an emoji is the font and the size of text say.
	first := g.newRow()
	first.cells[0].label.SetText("🙂")
	first.cells[0].button.Show() // what is hidden has no size
	_, width := first.cells[0].button.GetPreferredWidth()
	_, height := first.cells[0].button.GetPreferredHeight()
	g.side = max(width, height, 30)
	g.fit(first)
	g.spare = append(g.spare, first)
	const bar = 16 // at least as wide as a scroll bar
	g.scroll.SetSizeRequest(g.side*viewmodel.PickerColumns+bar, g.side*gridRows)
	return g
}

func (g *grid) newRow() *gridRow {
	r := &gridRow{at: -1, box: widget.Row(0), heading: widget.Line("", "emoji-heading")}
	r.heading.SetNoShowAll(true)
	r.box.PackStart(r.heading, true, true, 0)
	for column := range viewmodel.PickerColumns {
		c := newCell(g, r, column)
		r.cells = append(r.cells, c)
		r.box.PackStart(c.button, false, false, 0)
	}
	g.fit(r)
	g.layout.Put(r.box, 0, 0)
	return r
}

// fit gives a row its size.
func (g *grid) fit(r *gridRow) {
	if g.side == 0 {
		return
	}
	r.box.SetSizeRequest(g.side*viewmodel.PickerColumns, g.side)
	for _, c := range r.cells {
		c.button.SetSizeRequest(g.side, g.side)
	}
}

func newCell(g *grid, r *gridRow, column int) *cell {
	c := &cell{grid: g, row: r, column: column, button: widget.Class(widget.Must(gtk.ButtonNew()), "flat", "emoji-cell")}
	c.label = widget.Must(gtk.LabelNew(""))
	c.button.Add(c.label)
	c.button.SetNoShowAll(true)
	c.label.Show()
	c.button.Connect("clicked", func() {
		if c.long {
			c.long = false
			return
		}
		g.picker.choose(c.emoji.Emoji, false)
	})
	c.button.Connect("button-press-event", func(_ *gtk.Button, e *gdk.Event) bool {
		if gdk.EventButtonNewFromEvent(e).Button() == gdk.BUTTON_SECONDARY {
			g.picker.more(c)
			return true
		}
		c.long = false
		c.release()
		c.held = glib.TimeoutAdd(longPress, func() bool {
			c.held, c.long = 0, true
			g.picker.more(c)
			return false
		})
		return false
	})
	for _, signal := range []string{"button-release-event", "leave-notify-event", "unmap"} {
		c.button.Connect(signal, c.release)
	}
	c.button.Connect("popup-menu", func() bool {
		g.picker.more(c)
		return true
	})
	c.button.Connect("key-press-event", func(_ *gtk.Button, e *gdk.Event) bool { return g.key(c, e) })
	c.button.Connect("focus-in-event", func() bool {
		g.picker.name(c.emoji)
		return false
	})
	c.button.Connect("enter-notify-event", func() bool {
		g.picker.name(c.emoji)
		return false
	})
	return c
}

// release ends waiting for a long press.
func (c *cell) release() {
	if c.held != 0 {
		glib.SourceRemove(c.held)
		c.held = 0
	}
}

func (c *cell) show(x viewmodel.Emoji) {
	c.emoji = x
	c.label.SetText(x.Emoji)
	name := x.Name
	if name == "" {
		name = x.Emoji
	}
	gtkx.SetName(c.button, name)
	widget.SetClass(c.button, "tones", x.Tones > 0)
	c.button.SetVisible(true)
}

// show shows a view; from its beginning, if it is about something else. Where the
// same emoji is in it, the keyboard stays with it.
func (g *grid) show(v viewmodel.PickerView) {
	top := v.Query != g.view.Query
	if at, c := g.focused(); c != nil && !top {
		if row, column, ok := v.Nearest(c.emoji.Emoji, at); ok {
			g.moving = true
			defer g.focus(row, column)
		}
	}
	g.view = v
	for at, r := range g.drawn {
		g.drop(at, r)
	}
	g.layout.SetSize(uint(g.side*viewmodel.PickerColumns), uint(max(1, len(v.Rows)*g.side))) //nolint:gosec // neither is negative
	if top {
		g.adj.SetValue(0)
	}
	g.refresh()
}

// focused is the cell that has the keyboard, and its row; nil when none has.
func (g *grid) focused() (at int, c *cell) {
	for at, r := range g.drawn {
		for _, c := range r.cells {
			if c.button.IsFocus() {
				return at, c
			}
		}
	}
	return 0, nil
}

// drop keeps the widgets of a row for another one. If one of them has the keyboard,
// the search has it next: without it, what is typed would go to the window, which
// writes it into the message.
func (g *grid) drop(at int, r *gridRow) {
	if !g.moving && slices.ContainsFunc(r.cells, func(c *cell) bool { return c.button.IsFocus() }) {
		g.picker.entry.GrabFocusWithoutSelecting()
	}
	delete(g.drawn, at)
	r.box.SetVisible(false)
	r.at = -1
	g.spare = append(g.spare, r)
}

// refresh draws what has come into sight.
func (g *grid) refresh() {
	page := max(int(g.adj.GetPageSize()), gridRows*g.side)
	first := max(0, int(g.adj.GetValue())/g.side-1)
	last := min(len(g.view.Rows)-1, (int(g.adj.GetValue())+page)/g.side+1)
	for at, r := range g.drawn {
		if at < first || at > last {
			g.drop(at, r)
		}
	}
	for at := first; at <= last; at++ {
		if g.drawn[at] == nil {
			g.drawn[at] = g.draw(at)
		}
	}
}

func (g *grid) draw(at int) *gridRow {
	var r *gridRow
	if n := len(g.spare); n > 0 {
		r, g.spare = g.spare[n-1], g.spare[:n-1]
	} else {
		r = g.newRow()
	}
	row := g.view.Rows[at]
	r.at = at
	r.heading.SetText(row.Heading)
	r.heading.SetVisible(row.Heading != "")
	for i, c := range r.cells {
		if i < len(row.Emoji) {
			c.show(row.Emoji[i])
		} else {
			c.button.SetVisible(false)
		}
	}
	g.layout.Move(r.box, 0, at*g.side)
	r.box.Show()
	return r
}

// goTo scrolls to a row.
func (g *grid) goTo(row int) { g.adj.SetValue(float64(row * g.side)) }

// focus gives the keyboard to a cell, which comes into sight.
func (g *grid) focus(row, column int) {
	g.moving = true
	defer func() { g.moving = false }()
	top, page := int(g.adj.GetValue()), int(g.adj.GetPageSize())
	above := row
	for above > 0 && g.view.Rows[above-1].Heading != "" {
		above--
	}
	switch {
	case above*g.side < top:
		g.adj.SetValue(float64(above * g.side))
	case (row+1)*g.side > top+page:
		g.adj.SetValue(float64((row+1)*g.side - page))
	}
	if r := g.drawn[row]; r != nil && column < len(r.cells) {
		r.cells[column].button.GrabFocus()
	}
}

// focusFirst gives the keyboard to the first in sight, and says whether there is one.
func (g *grid) focusFirst() bool {
	at := int(g.adj.GetValue()) / g.side
	row, column, ok := g.view.Move(at-1, 0, viewmodel.Down)
	if ok {
		g.focus(row, column)
	}
	return ok
}

// key does what keys do in a cell.
func (g *grid) key(c *cell, ev *gdk.Event) bool {
	e := gdk.EventKeyNewFromEvent(ev)
	held := gdk.ModifierType(e.State()) & (gdk.CONTROL_MASK | gdk.SHIFT_MASK | gdk.MOD1_MASK) //nolint:gosec // bits of the keyboard
	move := func(to viewmodel.Direction, times int) bool {
		row, column, moved := c.row.at, c.column, false
		for range times {
			r, x, ok := g.view.Move(row, column, to)
			if !ok {
				break
			}
			row, column, moved = r, x, true
		}
		if moved {
			g.focus(row, column)
		} else if to == viewmodel.Up {
			g.picker.entry.GrabFocus()
		}
		return true
	}
	switch e.KeyVal() {
	case gdk.KEY_Return, gdk.KEY_KP_Enter, gdk.KEY_space:
		g.picker.choose(c.emoji.Emoji, held == gdk.CONTROL_MASK || held == gdk.SHIFT_MASK)
		return true
	case gdk.KEY_Left, gdk.KEY_KP_Left:
		return move(viewmodel.Left, 1)
	case gdk.KEY_Right, gdk.KEY_KP_Right:
		return move(viewmodel.Right, 1)
	case gdk.KEY_Up, gdk.KEY_KP_Up:
		return move(viewmodel.Up, 1)
	case gdk.KEY_Down, gdk.KEY_KP_Down:
		return move(viewmodel.Down, 1)
	case gdk.KEY_Page_Up:
		return move(viewmodel.Up, gridRows-1)
	case gdk.KEY_Page_Down:
		return move(viewmodel.Down, gridRows-1)
	case gdk.KEY_Home:
		return move(viewmodel.Up, len(g.view.Rows))
	case gdk.KEY_End:
		return move(viewmodel.Down, len(g.view.Rows))
	}
	return g.picker.typed(ev)
}
