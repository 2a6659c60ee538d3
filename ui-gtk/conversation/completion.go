package conversation

import (
	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// completion offers what completes what is being typed, above the cursor. It never
// has the keyboard, so that nobody who types on is kept from it.
type completion struct {
	composer *composer
	popover  *gtk.Popover
	list     *gtk.Box
	buttons  []*gtk.Button
	shown    viewmodel.Completion
}

func newCompletion(c *composer) *completion {
	x := &completion{composer: c, list: widget.Class(widget.Column(0), "completion")}
	gtkx.SetRole(x.list, gtkx.RoleList)
	gtkx.SetName(x.list, c.pane.window.Texts().T("Completions"))
	x.popover = widget.Must(gtk.PopoverNew(c.view))
	x.popover.SetModal(false)
	x.popover.SetPosition(gtk.POS_TOP)
	x.popover.Add(x.list)
	c.pane.window.Own(c.model.Completion.Observe(x.show))
	c.view.Connect("focus-out-event", func() bool {
		c.model.EndCompletion()
		return false
	})
	return x
}

func (x *completion) show(s viewmodel.Completion) {
	same := len(s.Items) > 0 && len(s.Items) == len(x.shown.Items) && &s.Items[0] == &x.shown.Items[0]
	x.shown = s
	if len(s.Items) == 0 {
		x.popover.Popdown()
		gtkx.SetDescription(x.composer.view, "")
		return
	}
	if !same {
		widget.Clear(x.list)
		x.buttons = nil
		for i, item := range s.Items {
			x.add(i, item)
		}
		x.list.ShowAll()
	}
	for i, b := range x.buttons {
		widget.SetClass(b, "selected", i == s.Selected)
	}
	// Who cannot see it hears which one it is.
	gtkx.SetDescription(x.composer.view, s.Items[s.Selected].Name)
	if !same {
		x.point()
		x.popover.Popup()
	}
}

func (x *completion) add(i int, item viewmodel.Completing) {
	row := widget.Row(10)
	if item.User != "" {
		avatar := widget.NewAvatar(x.composer.pane.window, widget.AvatarTiny)
		avatar.ShowPerson(item.User)
		row.PackStart(avatar, false, false, 0)
	} else {
		row.PackStart(widget.Line(item.Emoji, "emoji"), false, false, 0)
	}
	row.PackStart(widget.Line(item.Name), false, false, 0)
	if item.Code != "" {
		row.PackEnd(widget.Line(item.Code, "dim", "small"), false, false, 0)
	}
	b := widget.Class(widget.Must(gtk.ButtonNew()), "flat", "text-button")
	b.SetCanFocus(false)
	b.Add(row)
	gtkx.SetName(b, item.Name)
	b.Connect("clicked", func() { x.composer.model.TakeCompletion(i) })
	x.list.PackStart(b, false, false, 0)
	x.buttons = append(x.buttons, b)
}

// point puts it above the cursor.
func (x *completion) point() {
	c := x.composer
	at := c.view.GetIterLocation(c.buffer.GetIterAtMark(c.buffer.GetInsert()))
	left, top := c.view.BufferToWindowCoords(gtk.TEXT_WINDOW_WIDGET, at.GetX(), at.GetY())
	at.SetX(left)
	at.SetY(top)
	at.SetWidth(1)
	x.popover.SetPointingTo(*at)
}

// key does what keys do while something is offered. What the input method is still
// composing is the input method's.
func (x *completion) key(e *gdk.EventKey, held gdk.ModifierType) bool {
	if len(x.shown.Items) == 0 || held != 0 {
		return false
	}
	c := x.composer
	switch e.KeyVal() {
	case gdk.KEY_Up, gdk.KEY_KP_Up, gdk.KEY_Down, gdk.KEY_KP_Down, gdk.KEY_Tab, gdk.KEY_Return, gdk.KEY_KP_Enter, gdk.KEY_Escape:
		if c.view.ImContextFilterKeypress(e) {
			return true
		}
	default:
		return false
	}
	switch e.KeyVal() {
	case gdk.KEY_Up, gdk.KEY_KP_Up, gdk.KEY_Down, gdk.KEY_KP_Down:
		c.model.MoveCompletion(e.KeyVal() == gdk.KEY_Up || e.KeyVal() == gdk.KEY_KP_Up)
	case gdk.KEY_Escape:
		c.model.EndCompletion()
	default:
		c.view.ResetImContext()
		c.model.TakeSelected()
	}
	return true
}
