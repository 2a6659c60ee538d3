#include "gtkx.h"

static AtkObject *accessible(uintptr_t widget)
{
	return gtk_widget_get_accessible(GTK_WIDGET((void *)widget));
}

void gtkx_set_name(uintptr_t widget, const char *name)
{
	atk_object_set_name(accessible(widget), name);
}

void gtkx_set_description(uintptr_t widget, const char *description)
{
	atk_object_set_description(accessible(widget), description);
}

void gtkx_set_role(uintptr_t widget, int role)
{
	atk_object_set_role(accessible(widget), role);
}
