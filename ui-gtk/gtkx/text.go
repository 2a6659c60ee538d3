package gtkx

// #include <stdlib.h>
// #include "gtkx.h"
import "C"

import (
	"unsafe"

	"github.com/gotk3/gotk3/gtk"
)

// plainEmoji is one that each font with emoji has.
const plainEmoji = "🙂"

// Draws says whether a widget's font has a picture for an emoji.
func Draws(w gtk.IWidget, emoji string) bool {
	text, plain := cString(emoji), cString(plainEmoji)
	defer C.free(unsafe.Pointer(text))
	defer C.free(unsafe.Pointer(plain))
	return C.gtkx_draws(native(w), text, plain) != 0
}
