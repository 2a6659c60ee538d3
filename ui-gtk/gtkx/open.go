package gtkx

// #include <stdlib.h>
// #include "gtkx.h"
import "C"

import (
	"errors"
	"unsafe"

	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx/uri"
)

// OpenURI has the desktop open a URI with the program that it has for it. Whether it
// is safe to be opened the caller has checked. The error is the desktop's.
func OpenURI(above gtk.IWidget, uri string) error {
	cs := cString(uri)
	defer C.free(unsafe.Pointer(cs))
	var problem *C.char
	if C.gtkx_open_uri(native(above), cs, &problem) != 0 { //nolint:gocritic // what cgo makes of it
		return nil
	}
	defer C.free(unsafe.Pointer(problem))
	return errors.New(C.GoString(problem))
}

// OpenFile is OpenURI for an absolute path.
func OpenFile(above gtk.IWidget, path string) error {
	name, err := uri.Of(path)
	if err != nil {
		return err
	}
	return OpenURI(above, name)
}
