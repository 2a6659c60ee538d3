package app_test

import (
	"testing"

	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/assets"
)

// TestStyleSheetIsTaken: GTK understands all of the style sheet, in both looks.
func TestStyleSheetIsTaken(t *testing.T) {
	load := func(css string) error {
		provider, err := gtk.CssProviderNew()
		if err != nil {
			t.Fatal(err)
		}
		return provider.LoadFromData(css)
	}
	for name, dark := range map[string]bool{"light": false, "dark": true} {
		if err := load(assets.Style(dark)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if load("label { no-such-thing: 1px; }") == nil {
		t.Error("GTK takes what it does not know, and this test finds nothing")
	}
}
