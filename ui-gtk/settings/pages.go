package settings

import (
	"os"
	"strings"

	"github.com/adrg/xdg"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/ui-gtk/texts"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// change changes the window's own preferences.
func (p *Preferences) change(f func(*viewmodel.Preferences)) {
	if err := p.window.Preferences().Set(f); err != nil {
		p.window.Toast(err.Error())
	}
}

// account is who is logged in, where, and how it is kept.
func (p *Preferences) account() gtk.IWidget {
	t, s := p.window.Texts(), p.window.Session()
	facts := newFacts()
	p.own(s.Status.Observe(func(st *controlpb.Status) {
		name := st.GetDisplayName()
		if name == "" {
			name = "–"
		}
		facts.show(
			fact{title: t.T("User id"), value: st.GetUser()}, fact{title: t.T("Display name"), value: name},
			fact{title: t.T("Directory"), value: st.GetDirectory().GetAddress()}, fact{title: t.T("This device"), value: st.GetDevice()},
			fact{title: t.T("Profile"), value: st.GetProfile()}, fact{title: t.T("Key of the database"), value: s.KeyPlaceName(st.GetKeyPlace())})
	}))
	own := widget.Button(t.T("Own profile…"), func() { p.window.ShowPerson(s.User()) })
	own.SetHAlign(gtk.ALIGN_START)
	return sheet(widget.Column(12, widget.Column(0, widget.Label(t.T("Account"), "heading"), facts), own), p.net2019(), p.password(), p.leave())
}

// appearance is how the window looks.
func (p *Preferences) appearance() gtk.IWidget {
	t, now := p.window.Texts(), p.window.Preferences().Value.Get()
	theme, _ := choiceItem(t.T("Theme"), "", []choice{
		{string(viewmodel.ThemeSystem), t.T("As the system")}, {string(viewmodel.ThemeLight), t.T("Light")}, {string(viewmodel.ThemeDark), t.T("Dark")},
	}, string(now.Theme), func(v string) { p.change(func(x *viewmodel.Preferences) { x.Theme = viewmodel.Theme(v) }) })
	languages := []choice{{"system", t.T("As the system")}}
	for _, l := range texts.Languages {
		languages = append(languages, choice{l.Tag, l.Name})
	}
	language := now.Language
	if language == "" {
		language = "system"
	}
	lang, _ := choiceItem(t.T("Language"), "", languages, language, func(v string) {
		p.change(func(x *viewmodel.Preferences) { x.Language = strings.TrimPrefix(v, "system") })
	})
	size := widget.Must(gtk.ScaleNewWithRange(gtk.ORIENTATION_HORIZONTAL, 80, 200, 10))
	size.SetValue(float64(now.TextSize))
	size.SetSizeRequest(220, -1)
	_ = size.SetProperty("digits", 0) // which every scale has
	size.Connect("value-changed", func() {
		p.change(func(x *viewmodel.Preferences) { x.TextSize = int(size.GetValue()) })
	})
	return sheet(group(t.T("Appearance"), "", theme, lang, newItem(t.T("Text size"), t.T("In percent of the system's"), size)))
}

// notifications is what is shown outside of the window.
func (p *Preferences) notifications() gtk.IWidget {
	t, now := p.window.Texts(), p.window.Preferences().Value.Get()
	notify, _ := switchItem(t.T("Show notifications"), t.T("Of messages in chats that are not muted"), now.Notify,
		func(on bool) { p.change(func(x *viewmodel.Preferences) { x.Notify = on }) })
	content, _ := switchItem(t.T("Show what was written"), t.T("Without it only who wrote is shown; on a locked screen nothing is"), now.NotifyContent,
		func(on bool) { p.change(func(x *viewmodel.Preferences) { x.NotifyContent = on }) })
	background, _ := switchItem(t.T("Go on in the background"), t.T("Notifications come when the window is closed, too"), now.Background,
		func(on bool) { p.change(func(x *viewmodel.Preferences) { x.Background = on }) })
	rows := []gtk.IWidget{notify, content, background}
	if program, err := os.Executable(); err == nil {
		entry := viewmodel.NewAutostart(xdg.ConfigHome, program)
		start, _ := switchItem(t.T("Start with the desktop"), t.T("In the background, when you log in to this computer"), entry.On(), func(on bool) {
			if err := entry.Set(on); err != nil {
				p.window.Toast(err.Error())
			}
		})
		rows = append(rows, start)
	}
	return sheet(group(t.T("Notifications"), "", rows...))
}

// files is what the file plugin and the core can be set to.
func (p *Preferences) files() gtk.IWidget {
	t := p.window.Texts()
	return sheet(
		group(t.T("Files"), "", p.settingsRows("file", nil)),
		group(t.T("Speed"), "", p.settingsRows("", func(name string) bool { return strings.HasPrefix(name, "files.") })),
	)
}

// privacy is what others learn.
func (p *Preferences) privacy() gtk.IWidget {
	t := p.window.Texts()
	return sheet(group(t.T("What others learn"), t.T("Messages, files and who talks with whom stay between your devices. The directory knows who is online, and where."),
		p.settingsRows("", func(name string) bool { return strings.HasPrefix(name, "privacy.") }),
		p.settingsRows("text", nil)))
}
