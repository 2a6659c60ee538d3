package gtkx

import (
	"testing"

	"github.com/gotk3/gotk3/gdk"
)

// TestShortcutKey: a key is the Latin one at its place, whatever it writes.
func TestShortcutKey(t *testing.T) {
	const keyK, keyComma = 45, 59
	layouts := func(keys ...uint) func(int) uint {
		return func(group int) uint { return keys[min(group, len(keys)-1)] } // as GDK does
	}
	for name, c := range map[string]struct {
		key     uint
		keycode uint16
		in      func(int) uint
		want    uint
	}{
		"Latin":                      {gdk.KEY_K, keyK, layouts(gdk.KEY_x), gdk.KEY_k},
		"no letter":                  {gdk.KEY_Page_Up, 112, layouts(gdk.KEY_x), gdk.KEY_Page_Up},
		"a letter with an accent":    {gdk.KEY_eacute, 11, layouts(gdk.KEY_x), gdk.KEY_eacute},
		"another place, in French":   {gdk.KEY_a, 24, layouts(gdk.KEY_a), gdk.KEY_a},
		"Russian, second layout":     {gdk.KEY_Cyrillic_el, keyK, layouts(gdk.KEY_k, gdk.KEY_Cyrillic_el), gdk.KEY_k},
		"Russian, first layout":      {gdk.KEY_Cyrillic_EL, keyK, layouts(gdk.KEY_Cyrillic_EL, gdk.KEY_K), gdk.KEY_k},
		"Russian alone":              {gdk.KEY_Cyrillic_el, keyK, layouts(gdk.KEY_Cyrillic_el), gdk.KEY_k},
		"Russian beside Dvorak":      {gdk.KEY_Cyrillic_el, keyK, layouts(gdk.KEY_Cyrillic_el, gdk.KEY_t), gdk.KEY_t},
		"a comma":                    {gdk.KEY_Cyrillic_be, keyComma, layouts(gdk.KEY_Cyrillic_be), gdk.KEY_comma},
		"Greek":                      {gdk.KEY_Greek_kappa, keyK, layouts(gdk.KEY_Greek_kappa), gdk.KEY_k},
		"a key that is nowhere else": {gdk.KEY_Cyrillic_ya, 49 + 100, layouts(gdk.KEY_Cyrillic_ya), gdk.KEY_Cyrillic_ya},
	} {
		t.Run(name, func(t *testing.T) {
			if got := latinKey(c.key, c.keycode, c.in); got != c.want {
				t.Errorf("%#x, want %#x", got, c.want)
			}
		})
	}
}
