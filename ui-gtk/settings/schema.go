package settings

import (
	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// schema draws settings by their schema, so that those of a plugin that nobody
// here knows appear like all others.
type schema struct {
	p    *Preferences
	set  *viewmodel.Settings
	box  *gtk.Box // of rows
	only func(name string) bool
	rows map[string]*control
}

// control is a setting's row.
type control struct {
	item *item
	show func(value string) // makes the control show a value
}

// settingsRows draws the settings of a plugin, or of the core when it is empty,
// that only, if there, wants.
func (p *Preferences) settingsRows(plugin string, only func(name string) bool) *gtk.Box {
	s := &schema{p: p, set: p.window.Session().SettingsOf(plugin), only: only, rows: map[string]*control{}, box: widget.Column(0)}
	problem := widget.Label("", "danger", "group-row")
	problem.SetNoShowAll(true)
	s.box.PackStart(problem, false, false, 0)
	p.own(s.set.Problem.Observe(func(text string) {
		problem.SetText(text)
		problem.SetVisible(text != "")
	}))
	p.own(s.set.Rows.Observe(func(steps []viewmodel.Change[viewmodel.SettingRow]) {
		for _, step := range steps {
			s.draw(step)
		}
	}))
	// What was changed elsewhere, or while the core was away.
	p.own(p.window.Session().Loaded.Observe(func(struct{}) { s.set.Load() }))
	return s.box
}

func (s *schema) draw(step viewmodel.Change[viewmodel.SettingRow]) {
	name := step.Row.RowKey()
	if s.only != nil && !s.only(name) {
		return
	}
	c := s.rows[name]
	switch step.Kind {
	case viewmodel.Removed:
		if c != nil {
			c.item.Destroy()
			delete(s.rows, name)
		}
		return
	case viewmodel.Inserted:
		c = s.control(step.Row)
		s.rows[name] = c
		s.box.PackStart(c.item.Box, false, false, 0)
		c.item.ShowAll()
	case viewmodel.Changed:
		c.show(step.Row.Value)
	}
	c.item.setProblem(step.Row.Problem)
}

// control makes the row that fits a setting's type.
func (s *schema) control(r viewmodel.SettingRow) *control {
	name, t := r.Setting.GetName(), s.p.window.Texts()
	set := func(value string) { s.set.Set(name, value) }
	switch r.Setting.GetType() {
	case pluginpb.SettingType_SETTING_TYPE_BOOL:
		i, c := switchItem(r.Label, r.Description, r.Value == "true", func(on bool) {
			if on {
				set("true")
			} else {
				set("false")
			}
		})
		return &control{i, func(v string) { c.SetActive(v == "true") }}
	case pluginpb.SettingType_SETTING_TYPE_CHOICE:
		var choices []choice
		for _, x := range r.Setting.GetChoices() {
			choices = append(choices, choice{x, s.p.window.Session().Label(x)})
		}
		i, c := choiceItem(r.Label, r.Description, choices, r.Value, set)
		return &control{i, func(v string) { c.SetActiveID(v) }}
	case pluginpb.SettingType_SETTING_TYPE_FOLDER:
		return s.folder(r, set)
	}
	e := widget.Must(gtk.EntryNew())
	switch r.Setting.GetType() {
	case pluginpb.SettingType_SETTING_TYPE_INT:
		e.SetInputPurpose(gtk.INPUT_PURPOSE_DIGITS)
		e.SetWidthChars(10)
		e.SetAlignment(1)
	case pluginpb.SettingType_SETTING_TYPE_SECRET:
		e.SetVisibility(false)
		e.SetInputPurpose(gtk.INPUT_PURPOSE_PASSWORD)
		e.SetPlaceholderText(t.T("Not shown"))
	}
	// It counts when Enter is pressed or the field is left, not at each letter.
	take := func() {
		if text := widget.Must(e.GetText()); text != "" || r.Setting.GetType() != pluginpb.SettingType_SETTING_TYPE_SECRET {
			set(text)
		}
	}
	e.Connect("activate", take)
	e.Connect("focus-out-event", func(*gtk.Entry, *gdk.Event) bool { take(); return false })
	show := func(v string) {
		if r.Setting.GetType() != pluginpb.SettingType_SETTING_TYPE_SECRET && !e.HasFocus() {
			e.SetText(v)
		}
	}
	show(r.Value)
	return &control{newItem(r.Label, r.Description, e), show}
}

// folder is a setting that is a folder: a button with its name, which opens a
// chooser.
func (s *schema) folder(r viewmodel.SettingRow, set func(string)) *control {
	label := widget.Line("")
	label.SetMaxWidthChars(28)
	b := widget.Must(gtk.ButtonNew())
	b.Add(widget.Row(8, widget.Must(gtk.ImageNewFromIconName("folder-symbolic", gtk.ICON_SIZE_BUTTON)), label))
	now := ""
	show := func(v string) {
		now = v
		label.SetText(v)
		b.SetTooltipText(v)
		gtkx.SetName(b, r.Label+": "+v)
	}
	i := newItem(r.Label, r.Description, b)
	show(r.Value)
	b.Connect("clicked", func() {
		t := s.p.window.Texts()
		d := widget.Must(gtk.FileChooserNativeDialogNew(r.Label, s.p.native, gtk.FILE_CHOOSER_ACTION_SELECT_FOLDER, t.T("Choose"), t.T("Cancel")))
		d.SetCurrentFolder(now)
		if d.Run() == int(gtk.RESPONSE_ACCEPT) {
			set(d.GetFilename())
		}
		d.Destroy()
	})
	return &control{i, show}
}
