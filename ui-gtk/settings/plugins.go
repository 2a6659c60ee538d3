package settings

import (
	"strings"

	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// plugins lists what the core found, bundled or dropped in.
func (p *Preferences) plugins() gtk.IWidget {
	t, list := p.window.Texts(), p.window.Session().Plugins
	box := widget.Class(widget.Column(0), "group")
	p.own(list.Rows.Observe(widget.BoxRows(box, p.newPluginRow).Follow))
	p.own(list.Follow())
	return sheet(widget.Column(0,
		widget.Label(t.T("Plugins"), "heading"),
		widget.Label(t.T("To add one, put its program into the plugin folder and enable it here."), "dim", "explanation"), box))
}

// pluginRow is one plugin: what it is, a switch, and its settings when unfolded.
type pluginRow struct {
	*gtk.Box
	p                    *Preferences
	plugin               *controlpb.Plugin
	name, summary, state *gtk.Label
	problem, asks        *gtk.Label
	toggle               *gtk.Switch
	showing              bool // the switch is moved by show, not by a person
	more                 *gtk.Revealer
	unfold               *gtk.Button
	filled               bool
}

func (p *Preferences) newPluginRow(x viewmodel.PluginRow) *pluginRow {
	t := p.window.Texts()
	r := &pluginRow{
		p: p, name: widget.Line("", "bold"), summary: widget.Label("", "small"), state: widget.Label("", "dim", "small"),
		problem: widget.Label("", "danger", "small"), asks: widget.Label("", "dim", "small"),
		toggle: widget.Must(gtk.SwitchNew()), more: widget.Must(gtk.RevealerNew()),
	}
	for _, l := range []*gtk.Label{r.summary, r.problem, r.asks} {
		l.SetNoShowAll(true)
	}
	r.toggle.SetVAlign(gtk.ALIGN_CENTER)
	r.toggle.Connect("notify::active", r.switched)
	r.unfold = widget.IconButton("preferences-system-symbolic", t.T("Settings"), r.fold)
	r.unfold.SetVAlign(gtk.ALIGN_CENTER)
	r.unfold.SetNoShowAll(true)
	words := widget.Column(2, r.name, r.summary, r.asks, r.state, r.problem)
	line := widget.Class(widget.Row(12), "group-row")
	line.PackStart(words, true, true, 0)
	line.PackEnd(r.toggle, false, false, 0)
	line.PackEnd(r.unfold, false, false, 0)
	r.Box = widget.Class(widget.Column(0, line, r.more), "plugin")
	r.Update(x)
	return r
}

// Update implements widget.RowWidget.
func (r *pluginRow) Update(row viewmodel.PluginRow) {
	r.plugin = row.Plugin
	r.show()
}

// show draws the plugin as it is.
func (r *pluginRow) show() {
	x := r.plugin
	t, s := r.p.window.Texts(), r.p.window.Session()
	v := s.PluginView(x)
	name := x.GetName()
	if version := x.GetManifest().GetVersion(); version != "" {
		name += " " + version
	}
	r.name.SetText(name)
	set := func(l *gtk.Label, text string) {
		l.SetText(text)
		l.SetVisible(text != "")
	}
	set(r.summary, s.Label(x.GetManifest().GetSummary()))
	state := []string{v.State}
	if !x.GetBundled() {
		state = append(state, t.T("added by you"))
	}
	if v.Use != "" {
		state = append(state, v.Use)
	}
	r.state.SetText(strings.Join(state, " · "))
	set(r.problem, v.Problem)
	asks := ""
	if v.NeedsTrust && len(v.Capabilities) > 0 {
		asks = t.F("May use: %s", strings.Join(v.Capabilities, ", "))
	}
	set(r.asks, asks)
	r.showing = true
	r.toggle.SetActive(v.Enabled)
	r.showing = false
	r.toggle.SetSensitive(v.CanSwitch)
	gtkx.SetName(r.toggle, t.F("Enable %s", x.GetName()))
	r.unfold.SetVisible(v.Enabled && len(x.GetManifest().GetSettings()) > 0)
	if !v.Enabled {
		r.more.SetRevealChild(false)
	}
}

// switched is called when a person moves the switch.
func (r *pluginRow) switched() {
	if r.showing {
		return
	}
	s, on := r.p.window.Session(), r.toggle.GetActive()
	if !on || !s.PluginView(r.plugin).NeedsTrust {
		s.Plugins.Enable(r.plugin.GetName(), on, r.plugin.GetSha256())
		return
	}
	// Not now: assistive technology, which may have moved the switch, hears nothing of
	// the window until this is over.
	glib.IdleAdd(func() {
		if r.p.native == nil {
			return
		}
		if !r.trusts() {
			r.show()
			return
		}
		s.Plugins.Enable(r.plugin.GetName(), true, r.plugin.GetSha256())
	})
}

// trusts asks whether the file is to be run at all.
func (r *pluginRow) trusts() bool {
	t := r.p.window.Texts()
	v := r.p.window.Session().PluginView(r.plugin)
	text := r.plugin.GetPath() + "\nSHA-256 " + r.plugin.GetSha256()
	if v.Problem != "" {
		text = v.Problem + "\n\n" + text
	}
	if len(v.Capabilities) > 0 {
		text = t.F("May use: %s", strings.Join(v.Capabilities, ", ")) + "\n\n" + text
	}
	return widget.Ask(r.p.native, t.F("Run the plugin “%s”?", r.plugin.GetName()), text, t.T("Enable"), t.T("Cancel"), false)
}

// fold shows or hides the plugin's settings.
func (r *pluginRow) fold() {
	if !r.filled {
		r.filled = true
		rows := widget.Class(r.p.settingsRows(r.plugin.GetName(), nil), "nested")
		r.more.Add(rows)
		rows.ShowAll()
	}
	r.more.SetRevealChild(!r.more.GetRevealChild())
}
