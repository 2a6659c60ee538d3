#include "gtkx.h"

int gtkx_open_uri(uintptr_t window, const char *uri, char **problem)
{
	GError *error = NULL;
	if (gtk_show_uri_on_window((GtkWindow *)window, uri, gtk_get_current_event_time(), &error))
		return 1;
	*problem = g_strdup(error->message);
	g_error_free(error);
	return 0;
}
