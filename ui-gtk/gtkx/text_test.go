package gtkx

import (
	"testing"

	"github.com/gotk3/gotk3/gtk"
)

// What the font has no picture for, or only the parts of, is known.
func TestDraws(t *testing.T) {
	needsScreen(t)
	draws := func(emoji string) bool {
		return do(func() bool {
			l, err := gtk.LabelNew("")
			if err != nil {
				panic(err)
			}
			defer l.Destroy()
			return Draws(l, emoji)
		})
	}
	if !draws("👍🏽") {
		t.Skip("there is no font with emoji")
	}
	for emoji, want := range map[string]bool{
		"❤️": true, "👩‍🚀": true, "🇩🇪": true, "👨‍👩‍👧‍👦": true,
		"\U0001faff": false, // of no version yet
		"🐟‍🔥":        false, // of no standard: two pictures
	} {
		if draws(emoji) != want {
			t.Errorf("%s: want %v", emoji, want)
		}
	}
}
