package window

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/parley-chat/parley/test/ui/atspi"
	"github.com/parley-chat/parley/test/ui/desktop"
)

// Keys by their places, as X numbers them.
const (
	placeK     = "45"
	placeN     = "57"
	placeE     = "26"
	placeComma = "59"
)

// TestKeyboards: shortcuts are at the places of the Latin letters on keyboards that
// write others.
func TestKeyboards(t *testing.T) {
	t.Parallel()
	setxkbmap, err := exec.LookPath("setxkbmap")
	if err != nil {
		t.Skipf("setxkbmap is not installed: %v", desktop.ErrMissing)
	}
	w := newWorld(t, desktop.Config{})
	anna := w.anna
	anna.open()
	anna.openChat("bob")
	everywhere := anna.window.FindFunc(atspi.Text, "to search everywhere", func(s string) bool { return strings.HasPrefix(s, "Search") })
	for _, layouts := range []string{"ru", "gr,us", "us"} {
		cmd := exec.CommandContext(t.Context(), setxkbmap, "-layout", layouts)
		cmd.Env = append(os.Environ(), anna.screen.Desktop.Env()...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("setxkbmap: %v\n%s", err, out)
		}
		anna.app.Activate(anna.window)
		anna.screen.Keys("ctrl+" + placeK)
		anna.screen.Until("the search has the keyboard", func() bool { return everywhere.Is(atspi.Focused) })
		anna.composer().Focus()
		anna.screen.Until("the composer has the keyboard", func() bool { return anna.composer().Is(atspi.Focused) })
		anna.screen.Keys("ctrl+" + placeE)
		anna.window.Find(atspi.PushButton, "grinning face")
		anna.screen.Keys("Escape")
		anna.window.Gone(atspi.PushButton, "grinning face")
		for place, title := range map[string]string{placeN: "Add a contact", placeComma: "Preferences"} {
			anna.app.Activate(anna.window)
			anna.screen.Keys("ctrl+" + place)
			opened := anna.app.Window(title)
			anna.app.Activate(opened)
			anna.screen.Keys("Escape")
			anna.screen.Until(title+" is closed", func() bool { return !opened.Is(atspi.Showing) })
		}
	}
}
