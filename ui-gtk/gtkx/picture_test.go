package gtkx

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/gotk3/gotk3/gtk"
)

var (
	red    = color.RGBA{R: 0xe0, G: 0x10, B: 0x20, A: 0xff}
	green  = color.RGBA{R: 0x20, G: 0xc0, B: 0x30, A: 0xff}
	blue   = color.RGBA{R: 0x10, G: 0x30, B: 0xd0, A: 0xff}
	yellow = color.RGBA{R: 0xf0, G: 0xe0, B: 0x10, A: 0xff}
)

// quarters is a picture of four colours.
func quarters(width, height int) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.SetRGBA(x, y, [2][2]color.RGBA{{red, green}, {blue, yellow}}[2*y/height][2*x/width])
		}
	}
	return img
}

// plain is a picture of one colour.
func plain(c color.RGBA) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, 40, 40))
	draw.Draw(img, img.Bounds(), image.NewUniform(c), image.Point{}, draw.Src)
	return img
}

func pixels(t *testing.T, img image.Image) *Pixels {
	t.Helper()
	p, err := NewPixels(img)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Each is what a pixel of the screen is told: alpha, red, green, blue, the colours
// multiplied by alpha.
func TestFill(t *testing.T) {
	paletted := image.NewPaletted(image.Rect(0, 0, 1, 1), color.Palette{blue})
	gray := image.NewGray(image.Rect(0, 0, 1, 1))
	gray.SetGray(0, 0, color.Gray{Y: 0x55})
	clear := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	clear.SetNRGBA(0, 0, color.NRGBA{R: 0xff, G: 0x80, B: 0, A: 0x80})
	ycbcr := image.NewYCbCr(image.Rect(0, 0, 1, 1), image.YCbCrSubsampleRatio420)
	ycbcr.Y[0], ycbcr.Cb[0], ycbcr.Cr[0] = 0xff, 0x80, 0x80
	part := quarters(80, 80).(*image.RGBA).SubImage(image.Rect(40, 35, 80, 80))
	tests := []struct {
		name string
		img  image.Image
		want uint32 // of the first
	}{
		{"RGBA", quarters(1, 1), 0xffe01020},
		{"paletted", paletted, 0xff1030d0},
		{"gray", gray, 0xff555555},
		{"half transparent", clear, 0x80804000},
		{"YCbCr", ycbcr, 0xffffffff},
		{"part of another", part, 0xff20c030},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			size := test.img.Bounds().Size()
			stride := 4*size.X + 8
			to := bytes.Repeat([]byte{0xaa}, stride*size.Y)
			fill(to, stride, test.img)
			got := uint32(to[3])<<24 | uint32(to[2])<<16 | uint32(to[1])<<8 | uint32(to[0])
			if got != test.want {
				t.Errorf("got %#08x, want %#08x", got, test.want)
			}
			if !bytes.Equal(to[4*size.X:stride], bytes.Repeat([]byte{0xaa}, 8)) {
				t.Error("it wrote over the end of a row")
			}
		})
	}
	// The last row of one that is more than a strip high.
	size := part.Bounds().Size()
	to := make([]byte, 4*size.X*size.Y)
	fill(to, 4*size.X, part)
	if got := to[len(to)-4:]; !bytes.Equal(got, []byte{yellow.B, yellow.G, yellow.R, 0xff}) {
		t.Errorf("the last pixel is %v", got)
	}
}

// endless is an image that claims to be large.
type endless struct{ width, height int }

func (endless) ColorModel() color.Model   { return color.RGBAModel }
func (e endless) Bounds() image.Rectangle { return image.Rect(0, 0, e.width, e.height) }
func (endless) At(int, int) color.Color   { return red }

func TestPixelsAreBounded(t *testing.T) {
	for _, size := range []endless{{1 << 20, 1}, {1, 1 << 20}, {32767, 32767}, {1 << 40, 1 << 40}} {
		if _, err := NewPixels(size); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%dx%d: %v", size.width, size.height, err)
		}
	}
	for _, size := range []endless{{0, 0}, {0, 5}, {5, 0}} {
		if _, err := NewPixels(size); err == nil {
			t.Errorf("%dx%d: no error", size.width, size.height)
		}
	}
}

func TestPixelsClose(t *testing.T) {
	before := livePixels()
	p, err := NewPixels(quarters(3, 5))
	if err != nil {
		t.Fatal(err)
	}
	if p.Size() != image.Pt(3, 5) || livePixels() != before+1 {
		t.Errorf("size %v, %d live", p.Size(), livePixels())
	}
	p.Close()
	p.Close()
	if n := livePixels(); n != before {
		t.Errorf("%d are live after Close, %d before", n, before)
	}
	if _, err := NewPixels(quarters(3, 5)); err != nil { // and one that nobody closes
		t.Fatal(err)
	}
	until(t, "the garbage collector frees pixels", func() bool { runtime.GC(); return livePixels() == before })
}

// newPicture makes a picture of some size, of which nothing else is shown.
func newPicture(width, height int, fit Fit, radius float64, show *Pixels) gtk.IWidget {
	p, err := NewPicture("test")
	if err != nil {
		panic(err)
	}
	p.SetSizeRequest(width, height)
	p.SetStyle(fit, radius)
	p.Show(show)
	return p
}

func TestPicture(t *testing.T) {
	needsScreen(t)
	type place struct {
		at   image.Point
		want color.RGBA
	}
	tests := []struct {
		name          string
		width, height int
		fit           Fit
		radius        float64
		img           image.Image
		want          []place
		background    []image.Point
	}{
		{"up", 200, 200, Contain, 0, quarters(2, 2),
			[]place{{image.Pt(50, 50), red}, {image.Pt(150, 50), green}, {image.Pt(50, 150), blue}, {image.Pt(150, 150), yellow}, {image.Pt(0, 0), red}, {image.Pt(199, 199), yellow}}, nil},
		{"down", 100, 100, Contain, 0, quarters(1000, 1000),
			[]place{{image.Pt(25, 25), red}, {image.Pt(75, 25), green}, {image.Pt(25, 75), blue}, {image.Pt(75, 75), yellow}, {image.Pt(99, 0), green}}, nil},
		{"contain wide", 300, 100, Contain, 0, quarters(100, 100),
			[]place{{image.Pt(101, 1), red}, {image.Pt(198, 98), yellow}}, []image.Point{{50, 50}, {250, 50}, {98, 50}, {201, 50}}},
		{"cover wide", 300, 100, Cover, 0, quarters(100, 100),
			[]place{{image.Pt(0, 0), red}, {image.Pt(299, 0), green}, {image.Pt(0, 99), blue}, {image.Pt(299, 99), yellow}}, nil},
		{"cover, thin as a hair", 100, 100, Cover, 0, quarters(2, 20000), []place{{image.Pt(5, 20), red}, {image.Pt(95, 80), yellow}}, nil},
		{"circle", 100, 100, Cover, 1000, quarters(100, 100),
			[]place{{image.Pt(40, 40), red}, {image.Pt(60, 60), yellow}, {image.Pt(20, 20), red}}, []image.Point{{2, 2}, {97, 2}, {2, 97}, {97, 97}, {10, 10}}},
		{"round corners", 100, 60, Contain, 12, quarters(100, 60),
			[]place{{image.Pt(6, 6), red}, {image.Pt(14, 0), red}}, []image.Point{{0, 0}, {1, 1}, {99, 59}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := pixels(t, test.img)
			shown(t, func() gtk.IWidget { return newPicture(test.width, test.height, test.fit, test.radius, p) })
			for _, place := range test.want {
				awaitColor(t, place.at, place.want)
			}
			img, err := screen.Screenshot()
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range test.background {
				if c := img.RGBAAt(at.X, at.Y); near(c, red) || near(c, green) || near(c, blue) || near(c, yellow) || c == (color.RGBA{A: 0xff}) {
					t.Errorf("%v is %v, which is of the picture, or not of the window", at, c)
				}
			}
		})
	}
}

// What is shown changes, and goes.
func TestPictureChanges(t *testing.T) {
	needsScreen(t)
	a, b := pixels(t, plain(red)), pixels(t, plain(blue))
	var picture *Picture
	shown(t, func() gtk.IWidget {
		picture = newPicture(100, 100, Cover, 0, a).(*Picture)
		return picture
	})
	middle := image.Pt(50, 50)
	awaitColor(t, middle, red)
	act(func() { picture.Show(b) })
	awaitColor(t, middle, blue)
	b.Close() // what is shown stays
	act(func() { picture.QueueDraw(); picture.SetStyle(Cover, 1) })
	awaitColor(t, middle, blue)
	act(func() { picture.Show(b) }) // closed: nothing
	until(t, "the picture is gone", func() bool {
		img, err := screen.Screenshot()
		return err == nil && !near(img.RGBAAt(50, 50), blue)
	})
}

// showSharp shows single pixels on a screen of which GTK is told that it is fine.
func showSharp() {
	img := image.NewRGBA(image.Rect(0, 0, 100, 100))
	for y := range 100 {
		for x := range 100 {
			img.SetRGBA(x, y, [2]color.RGBA{red, blue}[(x+y)%2])
		}
	}
	p, err := NewPixels(img)
	if err != nil {
		panic(err)
	}
	w, err := gtk.WindowNew(gtk.WINDOW_TOPLEVEL)
	if err != nil {
		panic(err)
	}
	w.Add(newPicture(50, 50, Contain, 0, p))
	w.Connect("map-event", ready)
	w.ShowAll()
	w.Move(0, 0)
}

// On a fine screen a picture of as many pixels is shown one to one.
func TestPictureIsSharp(t *testing.T) {
	needsScreen(t)
	start(t, "sharp", "GDK_SCALE=2")
	awaitColor(t, image.Pt(50, 50), red)
	img, err := screen.Screenshot()
	if err != nil {
		t.Fatal(err)
	}
	for y := range 100 {
		for x := range 100 {
			if want := [2]color.RGBA{red, blue}[(x+y)%2]; img.RGBAAt(x, y) != want {
				t.Fatalf("%d,%d is %v, want %v", x, y, img.RGBAAt(x, y), want)
			}
		}
	}
}

// Pictures that come and go leave nothing: neither pixels nor what GTK makes of them.
func TestPictureLeaksNothing(t *testing.T) {
	needsScreen(t)
	before := livePixels()
	var picture *Picture
	window := shown(t, func() gtk.IWidget {
		picture = newPicture(64, 64, Cover, 32, nil).(*Picture)
		return picture
	})
	img := quarters(256, 256)
	cycle := func(n int) {
		for range n {
			p, err := NewPixels(img)
			if err != nil {
				t.Error(err)
				return
			}
			act(func() {
				picture.Show(p)
				picture.Show(nil)
				picture.Show(p)
			})
			p.Close()
			act(func() { picture.Show(nil) })
		}
	}
	cycle(500)
	was := resident(t)
	cycle(10_000)
	if grown := resident(t) - was; grown > 48<<20 {
		t.Errorf("10,000 pictures of 256 KiB left %d MiB", grown>>20)
	}
	if n := livePixels(); n != before {
		t.Errorf("%d pixels are live, %d before", n, before)
	}

	// Drawn, and so scaled, in many sizes.
	shared, err := NewPixels(img)
	if err != nil {
		t.Fatal(err)
	}
	drawn := newSignal()
	act(func() {
		picture.ConnectAfter("draw", drawn.set)
		picture.Show(shared)
	})
	drawn.await(t, "the picture is drawn")
	for i := range 60 {
		act(func() { window.Resize(65+i, 65+i) })
		drawn.await(t, "the picture is drawn in another size")
	}
	if n := livePixels(); n != before+2 {
		t.Errorf("%d pixels are live, %d before: want the picture and its scaled copy", n, before)
	}
	act(window.Destroy)
	if n := livePixels(); n != before+1 {
		t.Errorf("%d pixels are live after the window, %d before: want the picture", n, before)
	}

	// Widgets that are destroyed while Go still has them.
	kept := do(func() []gtk.IWidget {
		var all []gtk.IWidget
		for range 100 {
			w := newPicture(10, 10, Cover, 0, shared)
			all = append(all, w)
			w.(*Picture).Destroy()
			w.(*Picture).Show(shared) // too late, and harmless
		}
		return all
	})
	shared.Close()
	if n := livePixels(); n != before {
		t.Errorf("%d pixels are live with %d destroyed widgets, %d before", n, len(kept), before)
	}
	runtime.KeepAlive(kept)
}

// resident is how much memory this process has.
func resident(t *testing.T) int {
	t.Helper()
	runtime.GC()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
