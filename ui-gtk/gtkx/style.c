#include "gtkx.h"

void gtkx_set_class(uintptr_t widget, const char *class, int on)
{
	GtkStyleContext *context = gtk_widget_get_style_context((GtkWidget *)widget);

	if (on)
		gtk_style_context_add_class(context, class);
	else
		gtk_style_context_remove_class(context, class);
}
