package gtkx

// #include "gtkx.h"
import "C"

import "github.com/gotk3/gotk3/gtk"

// HoldsFocus says whether the keyboard of a widget's window is at the widget, or at
// something in it.
func HoldsFocus(w gtk.IWidget) bool { return C.gtkx_holds_focus(native(w)) != 0 }

// LostFocus says whether the keyboard of a widget's window is nowhere, as it is when what
// had it was destroyed or hidden.
func LostFocus(w gtk.IWidget) bool { return C.gtkx_lost_focus(native(w)) != 0 }

// FocusInPopover says whether the keyboard of a widget's window is in something that
// opened above the window, such as a menu.
func FocusInPopover(w gtk.IWidget) bool { return C.gtkx_focus_in_popover(native(w)) != 0 }

// FocusFirst gives the keyboard to the first in a widget that takes it, as Tab would, and
// says whether there is one. While the keyboard is in the widget, it goes on to the next.
func FocusFirst(w gtk.IWidget) bool { return C.gtkx_focus_first(native(w)) != 0 }
