// What Go calls of gtkx's C, and what C calls of Go. Widgets come as numbers, since
// gotk3 hands them out so; handles are those of runtime/cgo.
#ifndef PARLEY_GTKX_H
#define PARLEY_GTKX_H

#include <gtk/gtk.h>
#include <stdint.h>

// accessible.c
void gtkx_set_name(uintptr_t widget, const char *name);
void gtkx_set_description(uintptr_t widget, const char *description);
void gtkx_set_role(uintptr_t widget, int role);

// clipboard.c
void gtkx_clipboard_targets(uintptr_t handle);
void gtkx_clipboard_contents(const char *target, uintptr_t handle);
void gtkx_clipboard_text(uintptr_t handle);
int gtkx_clipboard_set(const char *text, const void *png, size_t png_size, const char *uris, const char *copied_files);

// drop.c
void gtkx_drop(uintptr_t widget, uintptr_t handle);

// focus.c
int gtkx_holds_focus(uintptr_t widget);
int gtkx_lost_focus(uintptr_t widget);
int gtkx_focus_in_popover(uintptr_t widget);
int gtkx_focus_first(uintptr_t widget);

// key.c
unsigned gtkx_key(unsigned keycode, int shift, int group);

// open.c
int gtkx_open_uri(uintptr_t window, const char *uri, char **problem);

// text.c
int gtkx_draws(uintptr_t widget, const char *emoji, const char *plain);

// resize.c
void gtkx_queue_resize(uintptr_t widget);

// style.c
void gtkx_set_class(uintptr_t widget, const char *class, int on);

// picture.c
cairo_surface_t *gtkx_pixels_new(int width, int height, unsigned char **data, int *stride);
void gtkx_pixels_filled(cairo_surface_t *pixels);
void gtkx_pixels_free(cairo_surface_t *pixels);
int gtkx_pixels_live(void);
void gtkx_picture_attach(uintptr_t widget);
void gtkx_picture_set(uintptr_t widget, cairo_surface_t *pixels);
void gtkx_picture_style(uintptr_t widget, double radius, int cover);

#endif
