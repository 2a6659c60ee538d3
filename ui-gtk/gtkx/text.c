#include "gtkx.h"

// One picture is about as wide as another. Parts that the font cannot join come one
// after the other.
int gtkx_draws(uintptr_t widget, const char *emoji, const char *plain)
{
	PangoLayout *layout = gtk_widget_create_pango_layout(GTK_WIDGET((void *)widget), plain);
	int one, width;
	pango_layout_get_size(layout, &one, NULL);
	pango_layout_set_text(layout, emoji, -1);
	pango_layout_get_size(layout, &width, NULL);
	int draws = pango_layout_get_unknown_glyphs_count(layout) == 0 && width < one * 3 / 2;
	g_object_unref(layout);
	return draws;
}
