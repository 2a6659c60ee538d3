package conversation

import (
	"strings"

	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// menu opens the menu of a message.
func (r *messageRow) menu(*gdk.Event) bool {
	p, key := r.list.pane, r.row.Key
	items := p.model.Menu(key)
	if len(items) == 0 {
		return false
	}
	var rows []widget.MenuItem
	for i, item := range items {
		if item.Choice == viewmodel.ChooseAction && i > 0 && items[i-1].Choice != viewmodel.ChooseAction {
			rows = append(rows, widget.MenuItem{})
		}
		if item.Choice == viewmodel.ChooseReact {
			rows = append([]widget.MenuItem{{Made: r.quickReactions}, {}}, rows...)
			continue
		}
		rows = append(rows, widget.MenuItem{Text: item.Label, Icon: item.Icon, Danger: item.Danger, Do: func() { r.choose(item) }})
	}
	m := widget.Menu(r.bubble, func() []widget.MenuItem { return rows })
	r.menus++
	m.Connect("closed", func() {
		glib.IdleAdd(func() {
			m.Destroy()
			r.menus--
			r.beside()
		})
	})
	m.Popup()
	return true
}

func (r *messageRow) choose(item viewmodel.MenuItem) {
	p := r.list.pane
	switch item.Choice {
	case viewmodel.ChooseCopy:
		p.copy(r.row)
	case viewmodel.ChooseForward:
		p.forward(r.row.Key)
	case viewmodel.ChooseDetails:
		p.details(r.row.Key)
	default:
		key, t := r.row.Key, p.window.Texts()
		if item.Question != "" && !widget.Ask(p.window.Native(), item.Question, item.Consequence, t.T("Delete"), t.T("Cancel"), true) {
			return
		}
		p.model.Choose(key, item)
		if item.Choice == viewmodel.ChooseReply || item.Choice == viewmodel.ChooseEdit {
			p.composer.focus()
		}
	}
}

// copy puts all of a message on the clipboard, as it was written.
func (p *Pane) copy(row *viewmodel.MessageRow) {
	clip := gtkx.Clip{Text: row.Message.GetBody()}
	if row.File != nil && row.File.Path != "" {
		clip.Files = []string{row.File.Path}
	}
	p.failed(gtkx.SetClipboard(clip))
}

// dialog makes a small dialog above the window.
func (p *Pane) dialog(title string, width, height int, content gtk.IWidget) *gtk.Dialog {
	d := widget.Must(gtk.DialogNew())
	d.SetTransientFor(p.window.Native())
	d.SetModal(true)
	d.SetTitle(title)
	d.SetDefaultSize(width, height)
	bar := widget.Must(gtk.HeaderBarNew())
	bar.SetTitle(title)
	bar.SetShowCloseButton(true)
	d.SetTitlebar(bar)
	area := widget.Must(d.GetContentArea())
	area.SetBorderWidth(0)
	area.PackStart(content, true, true, 0)
	d.Connect("response", func() { d.Destroy() })
	return d
}

// forward asks for the chat that a message goes to.
func (p *Pane) forward(key string) {
	t := p.window.Texts()
	entry := widget.Must(gtk.SearchEntryNew())
	entry.SetPlaceholderText(t.T("Search a chat"))
	gtkx.SetName(entry, t.T("Search a chat"))
	list := widget.Must(gtk.ListBoxNew())
	gtkx.SetName(list, t.T("Chats"))
	var chats []string
	var d *gtk.Dialog
	const most = 50 // are drawn; who looks for another types
	fill := func() {
		widget.Clear(list)
		chats = nil
		query, _ := entry.GetText()
		for _, row := range p.window.Session().Chats.Rows.Rows() {
			if len(chats) == most || !strings.Contains(strings.ToLower(row.Title), strings.ToLower(strings.TrimSpace(query))) {
				continue
			}
			chats = append(chats, row.RowKey())
			avatar := widget.NewAvatar(p.window, widget.AvatarSmall)
			avatar.Show(row.Picked(), row.Title, row.Avatar(), row.Presence())
			line := widget.Class(widget.Row(10, avatar, widget.Line(row.Title)), "chooser-row")
			list.Add(line)
		}
		list.ShowAll()
	}
	send := func(i int) {
		if i >= 0 && i < len(chats) {
			p.model.Forward(key, chats[i])
			p.window.Toast(t.T("Forwarded"))
			d.Destroy()
		}
	}
	list.Connect("row-activated", func(_ *gtk.ListBox, row *gtk.ListBoxRow) { send(row.GetIndex()) })
	entry.Connect("changed", fill)
	entry.Connect("activate", func() { send(0) })
	column := widget.Class(widget.Column(8, entry), "chooser")
	column.PackStart(widget.Scrolled(list), true, true, 0)
	fill()
	d = p.dialog(t.T("Forward to"), 360, 440, column)
	d.ShowAll()
}

// details says how a message came to people.
func (p *Pane) details(key string) {
	t := p.window.Texts()
	x, ok := p.model.Details(key)
	if !ok {
		return
	}
	column := widget.Class(widget.Column(10), "details")
	// Translators: when a message was sent.
	column.PackStart(widget.Label(t.F("Sent: %s", x.Sent)), false, false, 0)
	for _, r := range x.Recipients {
		state := widget.Line(r.State, "dim")
		if r.Failed {
			widget.Class(state, "danger")
		}
		avatar := widget.NewAvatar(p.window, widget.AvatarTiny)
		avatar.ShowPerson(r.User)
		row := widget.Row(10, avatar)
		row.PackStart(widget.Line(r.Name), true, true, 0)
		row.PackEnd(state, false, false, 0)
		gtkx.SetRole(row, gtkx.RoleListItem)
		gtkx.SetName(row, r.Name+", "+r.State)
		column.PackStart(row, false, false, 0)
		if r.Reason != "" {
			reason := widget.Label(r.Reason, "small", "danger")
			reason.SetSelectable(true)
			column.PackStart(reason, false, false, 0)
		}
	}
	if len(x.Reactions) > 0 {
		column.PackStart(widget.Label(t.T("Reactions"), "title", "small"), false, false, 0)
	}
	for _, r := range x.Reactions {
		column.PackStart(widget.Label(r.Who), false, false, 0)
	}
	scroll := widget.Scrolled(column)
	scroll.SetPropagateNaturalHeight(true)
	scroll.SetMaxContentHeight(400)
	p.dialog(t.T("Details"), 380, -1, scroll).ShowAll()
}
