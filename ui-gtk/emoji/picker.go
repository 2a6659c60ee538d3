// Package emoji is where one chooses emoji: the picker, and the short row of
// reactions.
package emoji

import (
	"unicode"

	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/texts"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// Picker is all emoji, to choose from. It is made anew each time.
type Picker struct {
	session *viewmodel.Session
	model   *viewmodel.EmojiPicker
	texts   *texts.Texts
	chosen  func(emoji string)
	popover *gtk.Popover
	entry   *gtk.SearchEntry
	tone    *gtk.MenuButton
	tabs    *gtk.Box
	shown   []viewmodel.PickerTab // that tabs have buttons for
	grid    *grid
	stack   *gtk.Stack
	problem *gtk.Label
	spinner *gtk.Spinner
	line    *gtk.Label
	above   *gtk.Popover // what is open above it
}

// tabIcons are symbolic icons for the plugin's categories.
var tabIcons = map[string]string{
	"recent": "emoji-recent-symbolic", "smileys-emotion": "emoji-people-symbolic", "people-body": "emoji-body-symbolic",
	"animals-nature": "emoji-nature-symbolic", "food-drink": "emoji-food-symbolic", "travel-places": "emoji-travel-symbolic",
	"activities": "emoji-activities-symbolic", "objects": "emoji-objects-symbolic", "symbols": "emoji-symbols-symbolic", "flags": "emoji-flags-symbolic",
}

// Names of what is below the tabs.
const (
	pageGrid    = "grid"
	pageProblem = "problem"
	pageBusy    = "busy"
)

// Popup opens the picker at a widget; chosen is called with each emoji that is
// chosen, and closed once it is gone.
func Popup(w widget.Window, at gtk.IWidget, chosen func(emoji string), closed func()) *Picker {
	t := w.Texts()
	p := &Picker{session: w.Session(), model: w.Session().Emojis.Picker, texts: t, chosen: chosen}
	p.popover = widget.Class(widget.Must(gtk.PopoverNew(at)), "emoji-picker")
	p.entry = widget.Must(gtk.SearchEntryNew())
	p.entry.SetPlaceholderText(t.T("Search an emoji"))
	gtkx.SetName(p.entry, t.T("Search an emoji"))
	p.tone = widget.Class(widget.Must(gtk.MenuButtonNew()), "flat", "emoji-tone")
	p.tone.SetTooltipText(t.T("Skin tone"))
	p.tabs = widget.Class(widget.Row(0), "emoji-tabs")
	p.tabs.SetHomogeneous(true)
	p.line = widget.Line("", "dim", "small", "emoji-name")
	p.grid = newGrid(p)
	p.problem = widget.Label("", "dim")
	p.problem.SetHAlign(gtk.ALIGN_CENTER)
	p.problem.SetVAlign(gtk.ALIGN_CENTER)
	gtkx.SetRole(p.problem, gtkx.RoleStatusBar)
	p.spinner = widget.Must(gtk.SpinnerNew())
	p.spinner.SetHAlign(gtk.ALIGN_CENTER)
	p.spinner.SetVAlign(gtk.ALIGN_CENTER)
	p.stack = widget.Must(gtk.StackNew())
	p.stack.AddNamed(p.grid.scroll, pageGrid)
	p.stack.AddNamed(p.problem, pageProblem)
	p.stack.AddNamed(p.spinner, pageBusy)
	top := widget.Row(6)
	top.PackStart(p.entry, true, true, 0)
	top.PackStart(p.tone, false, false, 0)
	p.popover.Add(widget.Column(6, top, p.tabs, p.stack, p.line))
	p.tonePopover()
	p.connect()
	stop := p.model.View.Observe(p.draw)
	p.popover.Connect("closed", func() {
		stop()
		closed()
		glib.IdleAdd(p.popover.Destroy)
	})
	p.model.Open()
	widget.Must(p.popover.GetChild()).ToWidget().ShowAll()
	p.draw(p.model.View.Get())
	p.popover.Popup()
	p.entry.GrabFocus()
	return p
}

func (p *Picker) connect() {
	p.entry.Connect("changed", func() {
		query, _ := p.entry.GetText()
		p.model.Search(query)
	})
	p.entry.Connect("stop-search", p.popover.Popdown)
	p.entry.Connect("activate", func() {
		for _, row := range p.model.View.Get().Rows {
			if query, _ := p.entry.GetText(); len(row.Emoji) > 0 && query != "" {
				p.choose(row.Emoji[0].Emoji, false)
				return
			}
		}
	})
	p.entry.Connect("key-press-event", func(_ *gtk.SearchEntry, e *gdk.Event) bool {
		switch gdk.EventKeyNewFromEvent(e).KeyVal() {
		case gdk.KEY_Down, gdk.KEY_KP_Down:
			return p.grid.focusFirst()
		}
		return false
	})
}

// typed takes a letter that was typed beside the search field, and says whether it
// was one.
func (p *Picker) typed(ev *gdk.Event) bool {
	e := gdk.EventKeyNewFromEvent(ev)
	r := gdk.KeyvalToUnicode(e.KeyVal())
	held := gdk.ModifierType(e.State()) & (gdk.CONTROL_MASK | gdk.MOD1_MASK | gdk.SUPER_MASK) //nolint:gosec // bits of the keyboard
	if held != 0 || r == 0 || !unicode.IsPrint(r) && e.KeyVal() != gdk.KEY_BackSpace {
		return false
	}
	p.entry.GrabFocusWithoutSelecting()
	return p.entry.Event(ev)
}

// choose takes an emoji; the picker goes unless it shall stay.
func (p *Picker) choose(emoji string, stay bool) {
	if p.above != nil {
		p.above.Popdown()
	}
	if !stay {
		p.popover.Popdown()
	}
	p.chosen(emoji)
}

// name says what an emoji is called.
func (p *Picker) name(x viewmodel.Emoji) {
	line := x.Name
	if x.Code != "" {
		line += "   :" + x.Code + ":"
	}
	p.line.SetText(line)
}

func (p *Picker) draw(v viewmodel.PickerView) {
	p.grid.show(v)
	if v.Query != "" && len(v.Rows) > 0 && !v.Busy {
		p.name(v.Rows[0].Emoji[0]) // which Enter takes
	}
	page := pageGrid
	switch {
	case len(v.Rows) > 0:
	case v.Problem != "":
		page = pageProblem
		p.line.SetText("") // of what was there before
		p.problem.SetText(v.Problem)
	case v.Busy:
		page = pageBusy
	}
	p.stack.SetVisibleChildName(page)
	if page == pageBusy {
		p.spinner.Start()
	} else {
		p.spinner.Stop()
	}
	p.drawTabs(v.Tabs)
	hand := "✋"
	if at := toneAt(v.Tone); at > 0 {
		hand += toneModifiers[at]
	}
	label := widget.Must(gtk.LabelNew(hand))
	if old, err := p.tone.GetChild(); err == nil && old != nil {
		old.ToWidget().Destroy()
	}
	p.tone.Add(label)
	label.Show()
	gtkx.SetName(p.tone, p.texts.F("Skin tone: %s", p.session.Label(v.Tone)))
}

// drawTabs makes the buttons that lead to the parts; while something is searched for
// they stay, and lead back.
func (p *Picker) drawTabs(tabs []viewmodel.PickerTab) {
	if len(tabs) == 0 {
		return
	}
	same := len(tabs) == len(p.shown)
	for i := range tabs {
		same = same && tabs[i].ID == p.shown[i].ID
	}
	p.shown = tabs
	if same {
		return
	}
	widget.Clear(p.tabs)
	for _, tab := range tabs {
		var b *gtk.Button
		do := func() { p.goTo(tab.ID) }
		if icon := tabIcons[tab.ID]; icon != "" {
			b = widget.IconButton(icon, tab.Name, do)
		} else {
			b = widget.Button(tab.Icon, do, "flat")
			b.SetTooltipText(tab.Name)
			gtkx.SetName(b, tab.Name)
		}
		p.tabs.PackStart(b, true, true, 0)
	}
	p.tabs.ShowAll()
}

func (p *Picker) goTo(id string) {
	p.entry.SetText("")
	p.model.Search("")
	for _, tab := range p.shown {
		if tab.ID == id {
			p.grid.goTo(tab.Row)
		}
	}
}

// more offers an emoji in other skin tones, and to keep it among the favourites.
func (p *Picker) more(c *cell) {
	t, x := p.texts, c.emoji
	pop := widget.Class(widget.Must(gtk.PopoverNew(c.button)), "emoji-more")
	column := widget.Column(4)
	label, on := t.T("Add to favourites"), !p.model.IsFavourite(x.Emoji)
	icon := "non-starred-symbolic"
	if !on {
		label, icon = t.T("Remove from favourites"), "starred-symbolic"
	}
	star := widget.Class(widget.Must(gtk.ButtonNew()), "menu-row")
	star.Add(widget.Row(10, widget.Icon(icon, gtk.ICON_SIZE_MENU), widget.Line(label)))
	gtkx.SetName(star, label)
	star.Connect("clicked", func() {
		pop.Popdown()
		p.model.SetFavourite(x.Emoji, on)
	})
	column.PackEnd(star, false, false, 0)
	pop.Add(column)
	alive := true
	p.above = pop
	pop.Connect("closed", func() {
		alive = false
		if p.above == pop {
			p.above = nil
		}
		glib.IdleAdd(pop.Destroy)
	})
	column.ShowAll()
	pop.Popup()
	star.GrabFocus()
	if x.Tones == 0 {
		return
	}
	p.session.Emojis.Variants(x.Emoji, func(list []viewmodel.Emoji) {
		if !alive || len(list) < 2 {
			return
		}
		column.PackStart(emojiRows(list, func(emoji string) { p.choose(emoji, false) }), false, false, 0)
		column.ShowAll()
	})
}

// variantColumns is how many variants are in a row: without a tone, and five tones.
const variantColumns = 6

// emojiRows makes buttons for a few emoji.
func emojiRows(list []viewmodel.Emoji, chosen func(emoji string)) *gtk.Box {
	column := widget.Column(0)
	var row *gtk.Box
	for i, x := range list {
		// Those in two tones have five in a row.
		if i == 0 || i == variantColumns || i > variantColumns && (i-variantColumns)%(variantColumns-1) == 0 {
			row = widget.Row(0)
			column.PackStart(row, false, false, 0)
		}
		row.PackStart(emojiButton(x, chosen), false, false, 0)
	}
	return column
}

func emojiButton(x viewmodel.Emoji, chosen func(emoji string)) *gtk.Button {
	b := widget.Class(widget.Must(gtk.ButtonNew()), "flat", "emoji-cell")
	b.Add(widget.Must(gtk.LabelNew(x.Emoji)))
	nameEmoji(b, x)
	b.Connect("clicked", func() { chosen(x.Emoji) })
	return b
}

// nameEmoji says which one a button is of.
func nameEmoji(b interface {
	gtk.IWidget
	SetTooltipText(string)
}, x viewmodel.Emoji) {
	name := x.Name
	if name == "" {
		name = x.Emoji
	}
	widget.NameIcon(b, name)
}

// toneModifiers are what makes a hand one of the tone, in the order of viewmodel.Tones.
var toneModifiers = []string{"", "🏻", "🏼", "🏽", "🏾", "🏿"}

func toneAt(tone string) int {
	for i, t := range viewmodel.Tones {
		if t == tone {
			return i
		}
	}
	return 0
}

// tonePopover asks for the skin tone.
func (p *Picker) tonePopover() {
	pop := widget.Must(gtk.PopoverNew(p.tone))
	row := widget.Row(0)
	for i, tone := range viewmodel.Tones {
		x := viewmodel.Emoji{Emoji: "✋" + toneModifiers[i], Name: p.session.Label(tone)}
		row.PackStart(emojiButton(x, func(string) {
			pop.Popdown()
			p.model.SetTone(tone)
		}), false, false, 0)
	}
	row.ShowAll()
	pop.Add(row)
	p.tone.SetPopover(pop)
}
