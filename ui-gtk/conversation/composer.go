package conversation

import (
	"reflect"
	"strings"

	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/emoji"
	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// composer is where one writes.
type composer struct {
	pane   *Pane
	model  *viewmodel.Composer
	box    *gtk.Box
	strips *gtk.Box
	above  struct { // what may be in strips
		commands, about, running, problem *slot
		files                             *attachments
	}
	view       *gtk.TextView
	buffer     *gtk.TextBuffer
	hint       *gtk.Label
	smile      *gtk.Button
	send       *gtk.Button
	actions    *gtk.Box
	completion *completion
	setting    bool // the text is set here, not by a person
	shown      viewmodel.ComposerLook
}

// composerLines is how many lines it grows to.
const composerLines = 8

func newComposer(p *Pane) *composer {
	t := p.window.Texts()
	c := &composer{pane: p, model: p.model.Composer}
	c.view = widget.Must(gtk.TextViewNew())
	c.view.SetWrapMode(gtk.WRAP_WORD_CHAR)
	c.view.SetAcceptsTab(false)
	c.view.SetTopMargin(9)
	c.view.SetBottomMargin(9)
	c.view.SetLeftMargin(14)
	c.view.SetRightMargin(14)
	gtkx.SetName(c.view, t.T("Write a message"))
	c.buffer = widget.Must(c.view.GetBuffer())
	c.buffer.Connect("changed", c.typed)
	c.buffer.Connect("notify::cursor-position", func() { c.model.Before(c.before(), false) })
	c.view.Connect("preedit-changed", func() { c.model.EndCompletion() })
	c.view.Connect("key-press-event", func(_ *gtk.TextView, e *gdk.Event) bool { return c.key(gdk.EventKeyNewFromEvent(e)) })
	c.view.Connect("paste-clipboard", func() {
		c.view.StopEmission("paste-clipboard")
		c.paste()
	})
	gtkx.AcceptFiles(c.view, gtkx.Drop{
		Over:  func(over bool) { widget.SetClass(p.pages, "drop", over) },
		Files: func(paths, _ []string) { c.model.Attach(paths...) },
	})
	scroll := widget.Class(widget.Must(gtk.ScrolledWindowNew(nil, nil)), "field")
	scroll.SetPolicy(gtk.POLICY_NEVER, gtk.POLICY_EXTERNAL)
	scroll.SetPropagateNaturalHeight(true)
	scroll.Add(c.view)
	c.view.Connect("style-updated", func() { scroll.SetMaxContentHeight(c.lineHeight()*composerLines + 18) })
	scroll.SetMaxContentHeight(20*composerLines + 18)
	// GTK 3's text views have no placeholder.
	c.hint = widget.Line(t.T("Write a message"), "dim", "hint")
	c.hint.SetHAlign(gtk.ALIGN_START)
	c.hint.SetVAlign(gtk.ALIGN_START)
	over := widget.Must(gtk.OverlayNew())
	over.Add(scroll)
	over.AddOverlay(c.hint)
	over.SetOverlayPassThrough(c.hint, true)

	attach := widget.MenuButton("mail-attachment-symbolic", t.T("Attach (Ctrl+U)"), func() []widget.MenuItem {
		items := []widget.MenuItem{
			{Text: t.T("Files"), Keys: "Ctrl+U", Icon: "text-x-generic-symbolic", Do: func() { c.chooseFiles(gtk.FILE_CHOOSER_ACTION_OPEN) }},
		}
		if c.model.Folders() {
			items = append(items, widget.MenuItem{Text: t.T("Folders"), Icon: "folder-symbolic", Do: func() { c.chooseFiles(gtk.FILE_CHOOSER_ACTION_SELECT_FOLDER) }})
		}
		return items
	})
	c.smile = widget.IconButton("face-smile-symbolic", t.T("Emoji (Ctrl+E)"), c.emoji)
	c.smile.SetNoShowAll(true)
	p.window.Own(p.window.Session().Emojis.Available.Observe(c.smile.SetVisible))
	c.send = widget.Class(widget.IconButton("go-up-symbolic", t.T("Send (Enter)"), c.model.Send), "send")
	widget.SetClass(c.send, "flat", false)
	widget.SetClass(c.send, "suggested-action", true)
	c.actions = widget.Row(2)
	row := widget.Row(6)
	for _, w := range []gtk.IWidget{attach} {
		row.PackStart(w, false, false, 0)
	}
	row.PackStart(over, true, true, 0)
	for _, w := range []gtk.IWidget{c.smile, c.actions, c.send} {
		row.PackStart(w, false, false, 0)
	}
	for _, w := range []interface{ SetVAlign(gtk.Align) }{attach, c.smile, c.actions, c.send} {
		w.SetVAlign(gtk.ALIGN_END)
	}
	c.above.commands, c.above.about, c.above.running, c.above.problem, c.above.files = newSlot(), newSlot(), newSlot(), newSlot(), c.newAttachments()
	c.strips = widget.Column(4, c.above.commands, c.above.about, c.above.running, c.above.files, c.above.problem)
	c.strips.SetNoShowAll(true)
	c.box = widget.Class(widget.Column(6, c.strips, row), "composer")
	p.window.Own(c.model.Text.Observe(c.setText))
	p.window.Own(c.model.Insert.Observe(func(s string) {
		c.buffer.DeleteSelection(true, true)
		c.buffer.InsertAtCursor(s)
		c.view.ScrollMarkOnscreen(c.buffer.GetInsert())
	}))
	p.window.Own(c.model.Replace.Observe(c.replace))
	p.window.Own(c.model.Look.Observe(c.show))
	c.completion = newCompletion(c)
	p.window.Own(p.window.Session().Plugins.Rows.Observe(func([]viewmodel.Change[viewmodel.PluginRow]) { c.drawActions() }))
	return c
}

// lineHeight is that of the font that is used.
func (c *composer) lineHeight() int {
	_, height := c.view.GetLineYrange(c.buffer.GetStartIter())
	return max(height, 14)
}

func (c *composer) focus() { c.view.GrabFocus() }

func (c *composer) text() string {
	from, to := c.buffer.GetBounds()
	s, _ := c.buffer.GetText(from, to, true)
	return s
}

func (c *composer) typed() {
	c.hint.SetVisible(c.buffer.GetCharCount() == 0)
	if !c.setting {
		c.model.Typed(c.text())
		c.model.Before(c.before(), true)
	}
}

// before is what stands in the line before the cursor.
func (c *composer) before() string {
	at := c.buffer.GetIterAtMark(c.buffer.GetInsert())
	from := c.buffer.GetIterAtLine(at.GetLine())
	s, _ := c.buffer.GetText(from, at, true)
	return s
}

// replace writes something instead of what stands before the cursor.
func (c *composer) replace(r viewmodel.Replacement) {
	at := c.buffer.GetIterAtMark(c.buffer.GetInsert())
	from := c.buffer.GetIterAtMark(c.buffer.GetInsert())
	from.BackwardChars(r.Chars)
	c.buffer.Delete(from, at)
	c.buffer.InsertAtCursor(r.Text)
	c.view.ScrollMarkOnscreen(c.buffer.GetInsert())
}

func (c *composer) setText(s string) {
	if c.text() == s {
		return
	}
	c.setting = true
	c.buffer.SetText(s)
	c.setting = false
	c.buffer.PlaceCursor(c.buffer.GetEndIter())
}

// key does what keys do in the text. What the input method is still composing is
// the input method's: Enter ends that, and does not send.
func (c *composer) key(e *gdk.EventKey) bool {
	held := gdk.ModifierType(e.State()) & (gdk.CONTROL_MASK | gdk.SHIFT_MASK | gdk.MOD1_MASK) //nolint:gosec // bits of the keyboard
	if c.completion.key(e, held) {
		return true
	}
	switch e.KeyVal() {
	case gdk.KEY_Return, gdk.KEY_KP_Enter, gdk.KEY_ISO_Enter:
		if held == gdk.SHIFT_MASK {
			return false
		}
		if c.view.ImContextFilterKeypress(e) {
			return true
		}
		c.view.ResetImContext()
		c.model.Send()
		return true
	case gdk.KEY_Up:
		return held == 0 && c.buffer.GetCharCount() == 0 && c.model.EditLast()
	case gdk.KEY_Escape:
		return held == 0 && c.model.Cancel()
	case gdk.KEY_Tab:
		if len(c.shown.Commands) > 0 {
			c.model.Complete(c.shown.Commands[0])
			return true
		}
	case gdk.KEY_Page_Up, gdk.KEY_Page_Down:
		if held == 0 {
			c.pane.list.page(e.KeyVal() == gdk.KEY_Page_Up)
			return true
		}
	}
	return false
}

func (c *composer) emoji() {
	c.view.GrabFocus()
	if !c.pane.window.Session().Emojis.Available.Get() {
		return
	}
	emoji.Popup(c.pane.window, c.smile, c.model.InsertEmoji, c.focus)
}

// paste takes what is on the clipboard: files, text, or a picture.
func (c *composer) paste() {
	gtkx.ReadHolding(func(h gtkx.Holding) {
		switch {
		case h.Files:
			gtkx.ReadFiles(func(paths, _ []string, err error) {
				if err == nil && len(paths) > 0 {
					c.model.Attach(paths...)
				}
			})
		case h.Text:
			gtkx.ReadText(func(s string, err error) {
				if err != nil {
					c.pane.failed(err)
					return
				}
				c.model.Paste(s)
			})
		case h.Picture:
			gtkx.ReadPicture(func(file []byte, err error) {
				if err != nil {
					c.pane.failed(err)
					return
				}
				c.model.PasteFile(c.pane.window.Texts().T("Picture")+".png", file)
			})
		}
	})
}

// chooseFiles asks for files or folders to send.
func (c *composer) chooseFiles(action gtk.FileChooserAction) {
	t := c.pane.window.Texts()
	title := t.T("Send files")
	if action == gtk.FILE_CHOOSER_ACTION_SELECT_FOLDER {
		title = t.T("Send folders")
	}
	d := widget.Must(gtk.FileChooserNativeDialogNew(title, c.pane.window.Native(), action, t.T("Choose"), t.T("Cancel")))
	defer d.Destroy()
	d.SetSelectMultiple(true)
	if gtk.ResponseType(d.Run()) != gtk.RESPONSE_ACCEPT {
		return
	}
	if paths, err := d.GetFilenames(); err == nil {
		c.model.Attach(paths...)
	}
	c.focus()
}

// drawActions makes the buttons of plugins.
func (c *composer) drawActions() {
	widget.Clear(c.actions)
	for _, a := range c.model.Actions() {
		label := c.pane.window.Session().Label(a.Action.GetLabel())
		icon := a.Action.GetIcon()
		if icon == "" {
			icon = "application-x-addon-symbolic"
		}
		c.actions.PackStart(widget.IconButton(icon, label, func() { c.model.Run(a, c.text(), "") }), false, false, 0)
	}
	c.actions.ShowAll()
}

// show draws what stands above the text, and whether it can be sent.
func (c *composer) show(x viewmodel.ComposerLook) {
	t := c.pane.window.Texts()
	c.shown = x
	c.send.SetSensitive(x.Ready)
	c.above.commands.show(len(x.Commands) > 0, x.Commands, func() gtk.IWidget { return c.commands(x.Commands) })
	c.above.about.show(x.Edit != nil || x.Reply != nil, []*viewmodel.QuoteRow{x.Edit, x.Reply}, func() gtk.IWidget {
		if x.Edit != nil {
			return c.strip("document-edit-symbolic", t.T("Editing"), x.Edit.Line)
		}
		return c.strip("mail-reply-sender-symbolic", x.Reply.Author, x.Reply.Line)
	})
	c.above.running.show(x.Running != "", x.Running, func() gtk.IWidget { return c.strip("emblem-synchronizing-symbolic", x.Running, "") })
	c.above.files.show(x.Files)
	c.above.problem.show(x.Problem != "", []any{x.Problem, x.AsFile}, func() gtk.IWidget { return c.problem(x.Problem, x.AsFile) })
	c.strips.SetVisible(len(x.Commands) > 0 || x.Edit != nil || x.Reply != nil || x.Running != "" || len(x.Files) > 0 || x.Problem != "")
}

// slot is a place above the text, which is drawn anew when it is to show something else.
type slot struct {
	*gtk.Box
	shown any
}

func newSlot() *slot {
	s := &slot{Box: widget.Column(0)}
	s.SetNoShowAll(true)
	return s
}

// show shows what draw makes, if on, which depends on what alone.
func (s *slot) show(on bool, what any, draw func() gtk.IWidget) {
	if on == s.GetVisible() && reflect.DeepEqual(what, s.shown) {
		return
	}
	s.shown = what
	widget.Clear(s)
	if on {
		w := draw()
		s.PackStart(w, false, false, 0)
		w.ToWidget().ShowAll()
	}
	s.SetVisible(on)
}

// problem says why what is there cannot be sent; asFile: it could be as a file.
func (c *composer) problem(text string, asFile bool) gtk.IWidget {
	t := c.pane.window.Texts()
	row := widget.Class(widget.Row(10), "strip", "refused")
	label := widget.Label(text)
	gtkx.SetRole(label, gtkx.RoleAlert)
	row.PackStart(widget.Icon("dialog-warning-symbolic", gtk.ICON_SIZE_MENU, "warn"), false, false, 0)
	row.PackStart(label, true, true, 0)
	if asFile {
		row.PackStart(widget.Button(t.T("Send as a file"), c.model.SendAsFile, "suggested-action"), false, false, 0)
		row.PackStart(widget.IconButton("window-close-symbolic", t.T("Cancel"), func() { c.model.Cancel() }), false, false, 0)
	}
	return row
}

// strip is a line that says what the text will be, and can be taken back.
func (c *composer) strip(icon, title, line string) gtk.IWidget {
	row := widget.Class(widget.Row(10), "strip")
	text := widget.Column(0, widget.Line(title, "title", "small"))
	if line != "" {
		text.PackStart(widget.Line(line, "small"), false, false, 0)
	}
	row.PackStart(widget.Icon(icon, gtk.ICON_SIZE_MENU, "dim"), false, false, 0)
	row.PackStart(text, true, true, 0)
	row.PackEnd(widget.IconButton("window-close-symbolic", c.pane.window.Texts().T("Cancel"), func() {
		c.model.Cancel()
		c.focus()
	}), false, false, 0)
	return row
}

// attachments are what goes with the next message.
type attachments struct {
	*gtk.ScrolledWindow
	shown []viewmodel.Attachment
	rows  *widget.Rows[viewmodel.Attachment, *attachment]
}

func (c *composer) newAttachments() *attachments {
	row := widget.Row(8)
	a := &attachments{ScrolledWindow: widget.Must(gtk.ScrolledWindowNew(nil, nil)), rows: widget.BoxRows(row, c.newAttachment)}
	a.SetPolicy(gtk.POLICY_AUTOMATIC, gtk.POLICY_NEVER)
	a.Add(row)
	a.ShowAll()
	a.SetNoShowAll(true)
	a.SetVisible(false)
	return a
}

func (a *attachments) show(now []viewmodel.Attachment) {
	was := a.shown
	a.shown = now
	a.rows.Follow(viewmodel.Diff(was, now))
	a.SetVisible(len(now) > 0)
}

// attachment is a file that goes with the next message.
type attachment struct {
	*gtk.Box
	line *gtk.Label
}

func (c *composer) newAttachment(f viewmodel.Attachment) *attachment {
	a := &attachment{Box: widget.Class(widget.Row(8), "attachment"), line: widget.Line("", "small", "dim")}
	switch {
	case f.Picture:
		v := newPictureView(c.pane, f.Name)
		v.picture.SetStyle(gtkx.Cover, 6)
		v.picture.SetSizeRequest(44, 44)
		v.load(f.Path, nil)
		a.PackStart(v.box, false, false, 0)
	case f.Folder:
		a.PackStart(widget.Icon("folder-symbolic", gtk.ICON_SIZE_DND, "dim"), false, false, 0)
	default:
		a.PackStart(widget.Icon("text-x-generic-symbolic", gtk.ICON_SIZE_DND, "dim"), false, false, 0)
	}
	name := widget.Line(f.Name, "small")
	name.SetMaxWidthChars(18)
	a.PackStart(widget.Column(0, name, a.line), false, false, 0)
	a.PackStart(widget.IconButton("window-close-symbolic", c.pane.window.Texts().F("Do not send %s", f.Name), func() { c.model.Detach(f.Path) }), false, false, 0)
	a.Update(f)
	return a
}

// Update implements widget.RowWidget.
func (a *attachment) Update(f viewmodel.Attachment) { a.line.SetText(f.Line) }

// commands lists the slash commands that complete what was typed.
func (c *composer) commands(list []viewmodel.Command) gtk.IWidget {
	column := widget.Class(widget.Column(0), "commands")
	for _, x := range list[:min(len(list), 6)] {
		row := widget.Row(10, widget.Line("/"+x.Name, "title"), widget.Line(strings.TrimSpace(x.Label), "dim"))
		b := widget.Class(widget.Must(gtk.ButtonNew()), "flat", "text-button")
		b.Add(row)
		gtkx.SetName(b, "/"+x.Name+", "+x.Label)
		b.Connect("clicked", func() {
			c.model.Complete(x)
			c.focus()
		})
		column.PackStart(b, false, false, 0)
	}
	return column
}
