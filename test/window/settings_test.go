package window

import (
	"strings"
	"testing"

	"github.com/parley-chat/parley/test/ui/atspi"
	"github.com/parley-chat/parley/test/ui/desktop"
)

// TestPluginAppears: a plugin that is dropped in shows with what it asks for, is
// enabled after a question, and its settings and the core's are changed in the
// window.
func TestPluginAppears(t *testing.T) {
	t.Parallel()
	w := newWorld(t, desktop.Config{})
	w.anna.prefer(`{"theme": "light"}`)
	w.anna.open()
	w.anna.opened()
	w.anna.dropIn()
	prefs := w.anna.preferences("Plugins")
	enable := prefs.Find(atspi.ToggleButton, "Enable poll")
	w.anna.shot("plugins-new")
	enable.Click()
	w.anna.app.FindFunc(atspi.Label, "the question", func(name string) bool { return strings.HasPrefix(name, "Run the plugin") })
	w.anna.shot("plugins-question")
	w.anna.app.Find(atspi.PushButton, "Enable").Click()
	w.anna.screen.Until("poll is enabled", func() bool { return enable.Is(atspi.Checked) })

	prefs.Find(atspi.ListItem, "Privacy").Select()
	receipts := prefs.Find(atspi.ToggleButton, "Read receipts")
	receipts.Click()
	w.anna.screen.Until("the core tells nobody what was read", func() bool { return w.anna.setting("", "privacy.receipts") == "false" })
	prefs.Find(atspi.ListItem, "Network").Select()
	prefs.Find(atspi.PushButton, "Examine").Click()
	prefs.Find(atspi.Label, "Directory reachable")
	w.anna.shot("network")
	w.anna.app.Activate(prefs)
	w.anna.screen.Keys("Escape")
	usePoll(w.anna)
}

// usePoll: the new plugin's command is completed, draws a card, and its button counts.
func usePoll(p *person) {
	p.openChat("bob")
	composer := p.composer()
	p.app.Activate(p.window)
	composer.Focus()
	p.screen.Type("/po")
	p.window.FindFunc(atspi.PushButton, "of the command", func(s string) bool { return strings.HasPrefix(s, "/poll, ") })
	p.screen.Keys("Tab")
	p.screen.Until("the command is written", func() bool { return composer.Text() == "/poll " })
	p.screen.Type("Lunch? | Noodles | Rice")
	p.screen.Keys("Return")
	card := p.message("You: Lunch?")
	card.Find(atspi.PushButton, "Noodles").Click()
	p.window.FindFunc(atspi.Label, "that counts", func(s string) bool { return strings.Contains(s, "Noodles: 1") })
	p.shot("poll")
}
