#include "gtkx.h"

static GtkWidget *keyboard_of(GtkWidget *widget) {
	GtkWidget *window = gtk_widget_get_toplevel(widget);
	return GTK_IS_WINDOW(window) ? gtk_window_get_focus(GTK_WINDOW(window)) : NULL;
}

int gtkx_holds_focus(uintptr_t widget) {
	GtkWidget *focus = keyboard_of((GtkWidget *)widget);
	return focus != NULL && (focus == (GtkWidget *)widget || gtk_widget_is_ancestor(focus, (GtkWidget *)widget));
}

int gtkx_lost_focus(uintptr_t widget) { return keyboard_of((GtkWidget *)widget) == NULL; }

int gtkx_focus_in_popover(uintptr_t widget) {
	GtkWidget *focus = keyboard_of((GtkWidget *)widget);
	return focus != NULL && gtk_widget_get_ancestor(focus, GTK_TYPE_POPOVER) != NULL;
}

int gtkx_focus_first(uintptr_t widget) { return gtk_widget_child_focus((GtkWidget *)widget, GTK_DIR_TAB_FORWARD); }
