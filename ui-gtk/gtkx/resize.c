#include "gtkx.h"

void gtkx_queue_resize(uintptr_t widget) { gtk_widget_queue_resize((GtkWidget *)widget); }
