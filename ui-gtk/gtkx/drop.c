#include "gtkx.h"
#include "_cgo_export.h"

// Files come as text/uri-list. Handlers run before those of the widget itself and
// say that they did all there was to do, or a text view would take the same drag as
// text. Other drags go on to the widget.

static GdkAtom uri_list(void)
{
	return gdk_atom_intern_static_string("text/uri-list");
}

static gboolean has_files(GdkDragContext *context)
{
	if (!(gdk_drag_context_get_actions(context) & GDK_ACTION_COPY))
		return FALSE;
	return g_list_find(gdk_drag_context_list_targets(context), GDK_ATOM_TO_POINTER(uri_list())) != NULL;
}

static gboolean on_motion(GtkWidget *widget, GdkDragContext *context, gint x, gint y, guint time, gpointer handle)
{
	(void)widget, (void)x, (void)y;
	if (!has_files(context))
		return FALSE;
	gdk_drag_status(context, GDK_ACTION_COPY, time);
	gtkxDropOver((uintptr_t)handle, TRUE);
	return TRUE;
}

static void on_leave(GtkWidget *widget, GdkDragContext *context, guint time, gpointer handle)
{
	(void)widget, (void)context, (void)time;
	gtkxDropOver((uintptr_t)handle, FALSE);
}

static gboolean on_drop(GtkWidget *widget, GdkDragContext *context, gint x, gint y, guint time, gpointer handle)
{
	(void)x, (void)y, (void)handle;
	if (!has_files(context))
		return FALSE;
	gtk_drag_get_data(widget, context, uri_list(), time);
	return TRUE;
}

static void on_received(GtkWidget *widget, GdkDragContext *context, gint x, gint y, GtkSelectionData *data, guint info,
                        guint time, gpointer handle)
{
	(void)x, (void)y, (void)info;
	if (gtk_selection_data_get_target(data) != uri_list())
		return;
	g_signal_stop_emission_by_name(widget, "drag-data-received");
	gint length = gtk_selection_data_get_length(data);
	gtk_drag_finish(context, length >= 0, FALSE, time);
	if (length >= 0)
		gtkxDropped((uintptr_t)handle, (void *)gtk_selection_data_get_data(data), length);
}

static void on_destroy(GtkWidget *widget, gpointer handle)
{
	g_signal_handlers_disconnect_matched(widget, G_SIGNAL_MATCH_DATA, 0, 0, NULL, NULL, handle);
	gtkxDropEnd((uintptr_t)handle);
}

void gtkx_drop(uintptr_t number, uintptr_t handle)
{
	GtkWidget *widget = GTK_WIDGET((void *)number);
	GtkTargetList *list = gtk_drag_dest_get_target_list(widget);
	if (list == NULL)
		gtk_drag_dest_set(widget, 0, NULL, 0, GDK_ACTION_COPY);
	gtk_drag_dest_add_uri_targets(widget);
	g_signal_connect(widget, "drag-motion", G_CALLBACK(on_motion), (gpointer)handle);
	g_signal_connect(widget, "drag-leave", G_CALLBACK(on_leave), (gpointer)handle);
	g_signal_connect(widget, "drag-drop", G_CALLBACK(on_drop), (gpointer)handle);
	g_signal_connect(widget, "drag-data-received", G_CALLBACK(on_received), (gpointer)handle);
	g_signal_connect(widget, "destroy", G_CALLBACK(on_destroy), (gpointer)handle);
}
