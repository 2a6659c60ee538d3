package gtkx

// #include "gtkx.h"
import "C"

import "github.com/gotk3/gotk3/gtk"

// QueueResize has a widget given its size anew with the next frame, and so its
// "size-allocate" emitted, whether or not that changes.
func QueueResize(w gtk.IWidget) { C.gtkx_queue_resize(native(w)) }
