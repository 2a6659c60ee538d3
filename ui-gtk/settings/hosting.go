package settings

import (
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// hosting is the directory on this computer: whether it runs, and what others need to
// use it. Nil where none can be started.
func (p *Preferences) hosting() *gtk.Box {
	t, h := p.window.Texts(), p.window.Session().NewHosting()
	p.own(h.Close)
	if !h.Possible() {
		return nil
	}
	stop := widget.Later(func() {
		if widget.Ask(p.native, t.T("Stop the directory?"), t.T("Those who use it, you as well if you do, cannot find each other until it is started again. It stays stopped when this computer is started anew."),
			t.T("Stop"), t.T("Cancel"), true) {
			h.Stop()
		}
	})
	rows := widget.Class(widget.Column(0), "group")
	rows.SetNoShowAll(true)
	p.own(h.View.Observe(func(v viewmodel.HostingView) {
		widget.Clear(rows)
		title, button := t.T("No directory was started here yet"), widget.Button(t.T("Start"), h.Start)
		switch {
		case v.Running:
			title, button = t.T("It runs"), widget.Button(t.T("Stop"), stop)
		case v.Known:
			title = t.T("It is stopped")
		}
		button.SetSensitive(v.Busy == "")
		state := newItem(title, v.Busy, button)
		gtkx.SetName(button, map[bool]string{true: t.T("Stop the directory on this computer"), false: t.T("Start a directory on this computer")}[v.Running])
		rows.PackStart(state, false, false, 0)
		if v.Running {
			if len(v.Others) == 0 {
				rows.PackStart(p.copied(t.T("Address"), t.T("For this computer alone: it is in no network"), v.Address), false, false, 0)
			}
			for _, x := range v.Others {
				rows.PackStart(p.copied(t.T("Address to give to others"), t.T("For everybody in your network"), x), false, false, 0)
			}
			another := widget.Button(t.T("Make one"), h.Invite)
			another.SetSensitive(v.Busy == "")
			invite := newItem(t.T("Invite code"), t.T("Whoever makes an account needs one. It is good for 20 accounts, within a week."), another).Box
			if v.Invite != "" {
				invite = p.copied(t.T("Invite code"), t.T("Good for 20 accounts, within a week"), v.Invite)
			}
			rows.PackStart(invite, false, false, 0)
		}
		rows.SetNoShowAll(false)
		rows.ShowAll()
		state.setProblem(v.Problem)
		rows.SetVisible(v.Looked || v.Problem != "")
		rows.SetNoShowAll(true)
	}))
	return widget.Column(0, widget.Label(t.T("Directory on this computer"), "heading"),
		widget.Label(t.T("It goes on when you log out, close the window or quit Parley, because others may use it, and is started again with Parley after this computer was off."), "dim", "explanation"),
		rows)
}

// copied is a row with something to give to others.
func (p *Preferences) copied(title, description, value string) *gtk.Box {
	t := p.window.Texts()
	text := widget.Plain(value, "dim", "fact")
	text.SetSelectable(true)
	button := widget.IconButton("edit-copy-symbolic", t.F("Copy: %s", title), func() {
		if err := gtkx.SetClipboard(gtkx.Clip{Text: value}); err != nil {
			p.window.Toast(t.T("It could not be copied."))
			return
		}
		p.window.Toast(t.F("Copied: %s", value))
	})
	i := newItem(title, description, text)
	i.PackEnd(button, false, false, 0)
	i.ReorderChild(button, 1)
	button.SetVAlign(gtk.ALIGN_CENTER)
	return i.Box
}
