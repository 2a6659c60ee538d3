package gtkx

// #include "gtkx.h"
import "C"

import (
	"unicode"

	"github.com/gotk3/gotk3/gdk"
)

// ShortcutKey gives the key, in small letters, by which a key press is looked up in a
// table of shortcuts. On a keyboard for Russian or Greek the key with K on it writes
// another letter, and is still the one for Ctrl+K: it is what it writes in the first
// layout of the keyboard where that is Latin, or else what it writes on an American
// one, by its place.
func ShortcutKey(e *gdk.EventKey) uint {
	shift := C.int(0)
	if gdk.ModifierType(e.State())&gdk.SHIFT_MASK != 0 { //nolint:gosec // bits of the keyboard
		shift = 1
	}
	return latinKey(e.KeyVal(), e.HardwareKeyCode(), func(group int) uint {
		return uint(C.gtkx_key(C.uint(e.HardwareKeyCode()), shift, C.int(group)))
	})
}

// maxGroups is how many layouts a keyboard has at most.
const maxGroups = 4

// latinKey is ShortcutKey, with what the key writes in each layout.
func latinKey(key uint, keycode uint16, in func(group int) uint) uint {
	if latin(key) {
		return gdk.KeyvalToLower(key)
	}
	for group := range maxGroups {
		if other := in(group); other != 0 && latin(other) {
			return gdk.KeyvalToLower(other)
		}
	}
	for _, row := range places {
		if at := int(keycode) - row.first; at >= 0 && at < len(row.keys) {
			return uint(row.keys[at])
		}
	}
	return gdk.KeyvalToLower(key)
}

// latin says whether a key writes a Latin letter or another character of ASCII, or
// nothing at all, as Page Up does.
func latin(key uint) bool {
	r := gdk.KeyvalToUnicode(key)
	return r < 0x80 || unicode.Is(unicode.Latin, r)
}

// places are the keys of an American keyboard, by the codes that X and Wayland have
// for them: those of Linux, and 8 more.
var places = []struct {
	first int
	keys  string
}{
	{10, "1234567890-="},
	{24, "qwertyuiop[]"},
	{38, "asdfghjkl;'`"},
	{52, "zxcvbnm,./"},
}
