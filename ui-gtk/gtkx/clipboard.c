#include "gtkx.h"
#include "_cgo_export.h"

#include <string.h>

// What another program offers comes when it comes; GTK gives up by itself when that
// program does not answer.

static GtkClipboard *clipboard(void)
{
	return gtk_clipboard_get(GDK_SELECTION_CLIPBOARD);
}

static void on_targets(GtkClipboard *from, GdkAtom *atoms, gint n, gpointer handle)
{
	(void)from;
	GString *names = g_string_new(NULL);
	for (gint i = 0; i < n; i++) {
		gchar *name = gdk_atom_name(atoms[i]);
		if (name != NULL)
			g_string_append_printf(names, "%s\n", name);
		g_free(name);
	}
	gboolean text = n > 0 && gtk_targets_include_text(atoms, n);
	gtkxClipboardTargets((uintptr_t)handle, names->str, text);
	g_string_free(names, TRUE);
}

void gtkx_clipboard_targets(uintptr_t handle)
{
	gtk_clipboard_request_targets(clipboard(), on_targets, (gpointer)handle);
}

static void on_contents(GtkClipboard *from, GtkSelectionData *data, gpointer handle)
{
	(void)from;
	gint length = gtk_selection_data_get_length(data);
	gtkxClipboardContents((uintptr_t)handle, (void *)gtk_selection_data_get_data(data), length);
}

void gtkx_clipboard_contents(const char *target, uintptr_t handle)
{
	gtk_clipboard_request_contents(clipboard(), gdk_atom_intern(target, FALSE), on_contents, (gpointer)handle);
}

static void on_text(GtkClipboard *from, const gchar *text, gpointer handle)
{
	(void)from;
	gtkxClipboardContents((uintptr_t)handle, (void *)text, text == NULL ? -1 : (gint)strlen(text));
}

void gtkx_clipboard_text(uintptr_t handle)
{
	gtk_clipboard_request_text(clipboard(), on_text, (gpointer)handle);
}

// What this program offers, until another offers something.

enum { TEXT, PNG, URIS, COPIED_FILES, KINDS };

typedef struct {
	GBytes *of[KINDS];
} Offer;

static void offer_get(GtkClipboard *from, GtkSelectionData *data, guint kind, gpointer user)
{
	(void)from;
	Offer *offer = user;
	gsize size;
	gconstpointer bytes = g_bytes_get_data(offer->of[kind], &size);
	if (kind == TEXT)
		gtk_selection_data_set_text(data, bytes, size);
	else
		gtk_selection_data_set(data, gtk_selection_data_get_target(data), 8, bytes, size);
}

static void offer_free(GtkClipboard *from, gpointer user)
{
	(void)from;
	Offer *offer = user;
	for (int i = 0; i < KINDS; i++)
		g_clear_pointer(&offer->of[i], g_bytes_unref);
	g_free(offer);
}

int gtkx_clipboard_set(const char *text, const void *png, size_t png_size, const char *uris, const char *copied_files)
{
	Offer *offer = g_new0(Offer, 1);
	GtkTargetList *list = gtk_target_list_new(NULL, 0);
	if (uris != NULL) {
		offer->of[URIS] = g_bytes_new(uris, strlen(uris));
		gtk_target_list_add_uri_targets(list, URIS);
		offer->of[COPIED_FILES] = g_bytes_new(copied_files, strlen(copied_files));
		gtk_target_list_add(list, gdk_atom_intern_static_string("x-special/gnome-copied-files"), 0, COPIED_FILES);
	}
	if (png != NULL) {
		offer->of[PNG] = g_bytes_new(png, png_size);
		gtk_target_list_add(list, gdk_atom_intern_static_string("image/png"), 0, PNG);
	}
	if (text != NULL) {
		offer->of[TEXT] = g_bytes_new(text, strlen(text));
		gtk_target_list_add_text_targets(list, TEXT);
	}
	gint n;
	GtkTargetEntry *targets = gtk_target_table_new_from_list(list, &n);
	gboolean ours = n > 0 && gtk_clipboard_set_with_data(clipboard(), targets, n, offer_get, offer_free, offer);
	if (ours)
		gtk_clipboard_set_can_store(clipboard(), NULL, 0); // it outlives this program
	else
		offer_free(NULL, offer);
	gtk_target_table_free(targets, n);
	gtk_target_list_unref(list);
	return ours;
}
