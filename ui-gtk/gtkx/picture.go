package gtkx

// #cgo pkg-config: gtk+-3.0
// #cgo CFLAGS: -std=gnu11 -Wall -Wextra
// #cgo LDFLAGS: -lm
// #include "gtkx.h"
import "C"

import (
	"errors"
	"fmt"
	"image"
	"image/draw"
	"runtime"
	"sync"
	"unsafe"

	"github.com/gotk3/gotk3/gtk"
)

// MaxPixels is how many pixels a picture may have: 256 MiB of them.
const MaxPixels = 64 << 20

// maxSide is the longest side that cairo takes.
const maxSide = 32767

// Pixels are a picture in the form in which it is drawn, outside of Go's memory. As
// many pictures as like show the same ones. They are safe for concurrent use.
type Pixels struct {
	mu      sync.Mutex // guards the surface
	surface *C.cairo_surface_t
	cleanup runtime.Cleanup
	size    image.Point
}

// NewPixels takes the pixels of an image. Any goroutine may call it, and for large
// ones that of GTK should not. Close gives back the memory; what shows them keeps
// them until then and after. Errors: ErrTooLarge, and that of an image without pixels.
func NewPixels(img image.Image) (*Pixels, error) {
	bounds := img.Bounds()
	width, height := bounds.Dx(), bounds.Dy()
	switch {
	case width <= 0 || height <= 0:
		return nil, errors.New("a picture without pixels")
	case width > maxSide || height > maxSide || width > MaxPixels/height:
		return nil, fmt.Errorf("a picture of %dx%d: %w", width, height, ErrTooLarge)
	}
	var data *C.uchar
	var stride C.int
	surface := C.gtkx_pixels_new(C.int(width), C.int(height), &data, &stride) //nolint:gocritic // what cgo makes of it
	if surface == nil {
		return nil, fmt.Errorf("no memory for a picture of %dx%d", width, height)
	}
	fill(unsafe.Slice((*byte)(data), int(stride)*height), int(stride), img)
	C.gtkx_pixels_filled(surface)
	p := &Pixels{surface: surface, size: image.Pt(width, height)}
	p.cleanup = runtime.AddCleanup(p, func(s *C.cairo_surface_t) { C.gtkx_pixels_free(s) }, surface)
	return p, nil
}

// fill writes an image in cairo's form: 32 bits a pixel in the machine's order,
// premultiplied, alpha on top.
func fill(to []byte, stride int, img image.Image) {
	bounds := img.Bounds()
	const rows = 32
	strip := image.NewRGBA(image.Rect(0, 0, bounds.Dx(), min(rows, bounds.Dy())))
	for top := 0; top < bounds.Dy(); top += rows {
		n := min(rows, bounds.Dy()-top)
		draw.Draw(strip, image.Rect(0, 0, bounds.Dx(), n), img, bounds.Min.Add(image.Pt(0, top)), draw.Src)
		for y := range n {
			from := strip.Pix[y*strip.Stride:][:4*bounds.Dx()]
			row := to[(top+y)*stride:][:len(from)]
			for x := 0; x < len(from); x += 4 {
				pixel := uint32(from[x+3])<<24 | uint32(from[x])<<16 | uint32(from[x+1])<<8 | uint32(from[x+2])
				*(*uint32)(unsafe.Pointer(&row[x])) = pixel //nolint:gosec // cairo aligns rows to four bytes
			}
		}
	}
}

// Size is the size in pixels.
func (p *Pixels) Size() image.Point { return p.size }

// Close gives the memory back once no picture shows them. Idempotent.
func (p *Pixels) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.surface == nil {
		return
	}
	p.cleanup.Stop()
	C.gtkx_pixels_free(p.surface)
	p.surface = nil
}

// Fit says how a picture fills its widget when it has another shape.
type Fit int

const (
	// Contain shows all of the picture, in the middle.
	Contain Fit = iota
	// Cover fills the widget, and cuts what is over on both sides.
	Cover
)

// Picture is a widget that shows pixels, scaled well and once, as sharp as the
// screen is. Its background and border come from CSS, where it is a "widget"; its
// size from SetSizeRequest and the room there is.
type Picture struct {
	*gtk.DrawingArea
}

// NewPicture makes a picture that shows nothing, and is called name to who cannot
// see it.
func NewPicture(name string) (*Picture, error) {
	area, err := gtk.DrawingAreaNew()
	if err != nil {
		return nil, err
	}
	C.gtkx_picture_attach(native(area))
	SetRole(area, RoleImage)
	SetName(area, name)
	return &Picture{area}, nil
}

// Show shows pixels, or nothing when they are nil or closed.
func (p *Picture) Show(pixels *Pixels) {
	if pixels == nil {
		C.gtkx_picture_set(native(p), nil)
		return
	}
	pixels.mu.Lock()
	defer pixels.mu.Unlock()
	C.gtkx_picture_set(native(p), pixels.surface)
}

// SetStyle says how the picture is fitted, and how round its corners are, in GTK's
// pixels: half of the widget's size and more makes a circle.
func (p *Picture) SetStyle(fit Fit, radius float64) {
	cover := C.int(0)
	if fit == Cover {
		cover = 1
	}
	C.gtkx_picture_style(native(p), C.double(radius), cover)
}

// livePixels is how many pixels are in memory, with those that pictures scaled.
func livePixels() int { return int(C.gtkx_pixels_live()) }
