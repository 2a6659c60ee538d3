package gtkx

// #include "gtkx.h"
import "C"

import (
	"runtime/cgo"
	"unsafe"

	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx/uri"
)

// Drop says what happens with files that are dragged to a widget. Its functions are
// called on the GTK thread.
type Drop struct {
	// Over says that files are held over the widget, or no longer. It may be nil.
	Over func(over bool)
	// Files gets what was dropped: absolute paths, and as they came the URIs that
	// name no file of this machine. Whether the paths exist is not looked at.
	Files func(paths, others []string)
}

// dropping is a widget that takes files.
type dropping struct {
	Drop
	over bool
}

// AcceptFiles lets files be dropped on a widget, text views included, for which
// other drags stay what they were. It ends with the widget.
func AcceptFiles(w gtk.IWidget, drop Drop) {
	C.gtkx_drop(native(w), newHandle(&dropping{Drop: drop}))
}

//export gtkxDropOver
func gtkxDropOver(handle C.uintptr_t, over C.gboolean) {
	d := cgo.Handle(handle).Value().(*dropping)
	if is := over != 0; is != d.over { // it is told of every motion
		d.over = is
		if d.Over != nil {
			d.Over(is)
		}
	}
}

//export gtkxDropped
func gtkxDropped(handle C.uintptr_t, data unsafe.Pointer, length C.gint) {
	d := cgo.Handle(handle).Value().(*dropping)
	if paths, others := uri.Parse(C.GoStringN((*C.char)(data), length)); len(paths)+len(others) > 0 {
		d.Files(paths, others)
	}
}

//export gtkxDropEnd
func gtkxDropEnd(handle C.uintptr_t) { cgo.Handle(handle).Delete() }
