#include "gtkx.h"

#include <math.h>

// Pixels are image surfaces of cairo. As many widgets as like show the same ones.

static gint live; // how many there are, those that pictures make of them included; atomic

static const cairo_user_data_key_t counted;

static void uncount(void *data)
{
	(void)data;
	g_atomic_int_add(&live, -1);
}

static cairo_surface_t *surface_new(int width, int height)
{
	cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_ARGB32, width, height);
	if (cairo_surface_status(s) != CAIRO_STATUS_SUCCESS ||
	    cairo_surface_set_user_data(s, &counted, &live, uncount) != CAIRO_STATUS_SUCCESS) {
		cairo_surface_destroy(s);
		return NULL;
	}
	g_atomic_int_add(&live, 1);
	return s;
}

cairo_surface_t *gtkx_pixels_new(int width, int height, unsigned char **data, int *stride)
{
	cairo_surface_t *s = surface_new(width, height);
	if (s == NULL)
		return NULL;
	cairo_surface_flush(s);
	*data = cairo_image_surface_get_data(s);
	*stride = cairo_image_surface_get_stride(s);
	return s;
}

void gtkx_pixels_filled(cairo_surface_t *s)
{
	cairo_surface_mark_dirty(s);
}

void gtkx_pixels_free(cairo_surface_t *s)
{
	cairo_surface_destroy(s);
}

int gtkx_pixels_live(void)
{
	return g_atomic_int_get(&live);
}

// A picture is a drawing area that has this.
typedef struct {
	cairo_surface_t *pixels; // NULL when it shows nothing
	double radius;           // of the corners, in logical pixels
	gboolean cover;          // fill the widget and cut what is over, or show all
	cairo_surface_t *fitted; // the part that is seen, at the screen's resolution; NULL until it is drawn
	int fitted_width, fitted_height;
	gboolean gone; // the widget is destroyed, though Go may still have it
} Picture;

static const char key[] = "parley-picture";

static Picture *picture(uintptr_t widget)
{
	return g_object_get_data(G_OBJECT((void *)widget), key);
}

static void drop_fitted(Picture *p)
{
	g_clear_pointer(&p->fitted, cairo_surface_destroy);
}

static void rounded(cairo_t *cr, double x, double y, double w, double h, double radius)
{
	double r = MIN(radius, MIN(w, h) / 2);
	if (r <= 0) {
		cairo_rectangle(cr, x, y, w, h);
		return;
	}
	cairo_new_sub_path(cr);
	cairo_arc(cr, x + w - r, y + r, r, -G_PI_2, 0);
	cairo_arc(cr, x + w - r, y + h - r, r, 0, G_PI_2);
	cairo_arc(cr, x + r, y + h - r, r, G_PI_2, G_PI);
	cairo_arc(cr, x + r, y + r, r, G_PI, 3 * G_PI_2);
	cairo_close_path(cr);
}

// fit scales the pixels to the size that they are drawn in, once: cairo would do it,
// at this quality slowly, each time that something moves over the widget.
static void fit(Picture *p, int width, int height, double scale)
{
	if (p->fitted != NULL && p->fitted_width == width && p->fitted_height == height)
		return;
	drop_fitted(p);
	int pw = cairo_image_surface_get_width(p->pixels), ph = cairo_image_surface_get_height(p->pixels);
	p->fitted_width = width;
	p->fitted_height = height;
	if (pw == width && ph == height) {
		p->fitted = cairo_surface_reference(p->pixels);
		return;
	}
	p->fitted = surface_new(width, height);
	if (p->fitted == NULL)
		return;
	cairo_t *cr = cairo_create(p->fitted);
	cairo_translate(cr, (width - pw * scale) / 2, (height - ph * scale) / 2);
	cairo_scale(cr, scale, scale);
	cairo_set_source_surface(cr, p->pixels, 0, 0);
	cairo_pattern_set_filter(cairo_get_source(cr), CAIRO_FILTER_GOOD);
	cairo_pattern_set_extend(cairo_get_source(cr), CAIRO_EXTEND_PAD); // no pale edges
	cairo_set_operator(cr, CAIRO_OPERATOR_SOURCE);
	cairo_paint(cr);
	cairo_destroy(cr);
}

static gboolean on_draw(GtkWidget *widget, cairo_t *cr, gpointer data)
{
	Picture *p = data;
	int width = gtk_widget_get_allocated_width(widget), height = gtk_widget_get_allocated_height(widget);
	GtkStyleContext *style = gtk_widget_get_style_context(widget);
	gtk_render_background(style, cr, 0, 0, width, height);
	gtk_render_frame(style, cr, 0, 0, width, height);
	if (p->pixels == NULL || width <= 0 || height <= 0)
		return FALSE;

	// In pixels of the screen, of which there may be more than GTK counts.
	int dots = gtk_widget_get_scale_factor(widget);
	int room_width = width * dots, room_height = height * dots;
	int pw = cairo_image_surface_get_width(p->pixels), ph = cairo_image_surface_get_height(p->pixels);
	double across = (double)room_width / pw, down = (double)room_height / ph;
	double scale = p->cover ? MAX(across, down) : MIN(across, down);
	int seen_width = CLAMP((int)lround(pw * scale), 1, room_width);
	int seen_height = CLAMP((int)lround(ph * scale), 1, room_height);
	int left = (room_width - seen_width) / 2, top = (room_height - seen_height) / 2;
	fit(p, seen_width, seen_height, scale);
	if (p->fitted == NULL)
		return FALSE;

	cairo_save(cr);
	cairo_scale(cr, 1.0 / dots, 1.0 / dots);
	rounded(cr, left, top, seen_width, seen_height, p->radius * dots);
	cairo_set_source_surface(cr, p->fitted, left, top);
	cairo_pattern_set_filter(cairo_get_source(cr), CAIRO_FILTER_NEAREST); // it is one to one
	cairo_fill(cr);
	cairo_restore(cr);
	return FALSE;
}

static void clear(Picture *p)
{
	drop_fitted(p);
	g_clear_pointer(&p->pixels, cairo_surface_destroy);
}

static void on_destroy(GtkWidget *widget, gpointer data)
{
	(void)widget;
	Picture *p = data;
	p->gone = TRUE;
	clear(p);
}

static void picture_free(gpointer data)
{
	clear(data);
	g_free(data);
}

void gtkx_picture_attach(uintptr_t widget)
{
	Picture *p = g_new0(Picture, 1);
	GObject *object = G_OBJECT((void *)widget);
	g_object_set_data_full(object, key, p, picture_free);
	g_signal_connect(object, "draw", G_CALLBACK(on_draw), p);
	g_signal_connect(object, "destroy", G_CALLBACK(on_destroy), p);
}

void gtkx_picture_set(uintptr_t widget, cairo_surface_t *pixels)
{
	Picture *p = picture(widget);
	clear(p);
	if (pixels != NULL && !p->gone)
		p->pixels = cairo_surface_reference(pixels);
	gtk_widget_queue_draw(GTK_WIDGET((void *)widget));
}

void gtkx_picture_style(uintptr_t widget, double radius, int cover)
{
	Picture *p = picture(widget);
	drop_fitted(p);
	p->radius = radius;
	p->cover = cover;
	gtk_widget_queue_draw(GTK_WIDGET((void *)widget));
}
