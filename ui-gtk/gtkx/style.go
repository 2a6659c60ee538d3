package gtkx

// #include <stdlib.h>
// #include "gtkx.h"
import "C"

import "github.com/gotk3/gotk3/gtk"

// classes are the names of CSS classes as C has them. There are as many as the style
// sheets know, so they are kept.
var classes = map[string]*C.char{}

// SetClass adds a CSS class to a widget, or removes it. Unlike gotk3 it makes no Go
// object of the widget's style, which rows that are made by the dozen would feel.
func SetClass(w gtk.IWidget, class string, on bool) {
	name, ok := classes[class]
	if !ok {
		name = C.CString(class)
		classes[class] = name
	}
	var set C.int
	if on {
		set = 1
	}
	C.gtkx_set_class(native(w), name, set)
}
