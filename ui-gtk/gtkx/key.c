#include "gtkx.h"

// gtkx_key gives what a key writes in one of the keyboard's layouts, which are counted
// from 0 and called groups; 0 when it writes nothing.
unsigned gtkx_key(unsigned keycode, int shift, int group) {
	GdkDisplay *display = gdk_display_get_default();
	guint keyval = 0;
	if (display == NULL)
		return 0;
	if (!gdk_keymap_translate_keyboard_state(gdk_keymap_get_for_display(display), keycode, shift ? GDK_SHIFT_MASK : 0, group, &keyval, NULL, NULL, NULL))
		return 0;
	return keyval;
}
