package gtkx

// #include <stdlib.h>
// #include "gtkx.h"
import "C"

import (
	"strings"
	"unsafe"

	"github.com/gotk3/gotk3/gtk"
)

// Role is what a widget is to who cannot see it. GTK gives widgets of its own kinds
// the right one; what is put together out of others, or drawn, needs one.
type Role int

// Roles, which assistive technology and tests know by the names of AT-SPI: "push
// button", "list item".
const (
	RoleAlert       Role = C.ATK_ROLE_ALERT
	RoleButton      Role = C.ATK_ROLE_PUSH_BUTTON
	RoleHeading     Role = C.ATK_ROLE_HEADING
	RoleImage       Role = C.ATK_ROLE_IMAGE
	RoleLabel       Role = C.ATK_ROLE_LABEL
	RoleLink        Role = C.ATK_ROLE_LINK
	RoleList        Role = C.ATK_ROLE_LIST
	RoleListItem    Role = C.ATK_ROLE_LIST_ITEM
	RoleLog         Role = C.ATK_ROLE_LOG
	RolePanel       Role = C.ATK_ROLE_PANEL
	RoleParagraph   Role = C.ATK_ROLE_PARAGRAPH
	RoleProgressBar Role = C.ATK_ROLE_PROGRESS_BAR
	RoleSeparator   Role = C.ATK_ROLE_SEPARATOR
	RoleSlider      Role = C.ATK_ROLE_SLIDER
	RoleStatusBar   Role = C.ATK_ROLE_STATUSBAR
	RoleToolBar     Role = C.ATK_ROLE_TOOL_BAR
)

// SetName says what a widget is called to who cannot see it. Buttons with an icon
// alone, lists, entries and what is drawn have no name unless this gives them one.
func SetName(w gtk.IWidget, name string) {
	cs := cString(name)
	defer C.free(unsafe.Pointer(cs))
	C.gtkx_set_name(native(w), cs)
}

// SetDescription says more of a widget than its name.
func SetDescription(w gtk.IWidget, description string) {
	cs := cString(description)
	defer C.free(unsafe.Pointer(cs))
	C.gtkx_set_description(native(w), cs)
}

// SetRole says what a widget is.
func SetRole(w gtk.IWidget, role Role) { C.gtkx_set_role(native(w), C.int(role)) }

func native(w gtk.IWidget) C.uintptr_t { return C.uintptr_t(w.ToWidget().Native()) }

// cString is for GLib, which wants UTF-8 and ends a text at its first zero byte. It
// is the caller's to free.
func cString(s string) *C.char {
	return C.CString(strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD"))
}
