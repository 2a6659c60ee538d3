package conversation

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/gif"  // what peers send
	_ "image/jpeg" // likewise
	_ "image/png"  // likewise
	"io"
	"os"
	"slices"

	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"
	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // likewise

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// Bounds of pictures that are decoded here. What is larger is opened by another
// program.
const (
	maxPictureFile   = 64 << 20
	maxPicturePixels = 40 << 20
	cachedPixels     = 24 << 20 // of pictures in messages, 4 bytes each
)

// decode reads a picture that anybody may have made: its size before its pixels, and
// only kinds that Go decodes.
func decode(r io.ReadSeeker) (image.Image, error) {
	config, format, err := image.DecodeConfig(r)
	if err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"png", "jpeg", "gif", "webp"}, format) {
		return nil, fmt.Errorf("pictures of the kind %s are not shown", format)
	}
	if config.Width <= 0 || config.Height <= 0 || config.Width > maxPicturePixels/config.Height {
		return nil, fmt.Errorf("a picture of %dx%d is too large to be shown here", config.Width, config.Height)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	orientation := 1
	if format == "jpeg" {
		orientation = orientationOf(r)
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
	}
	img, _, err := image.Decode(r)
	if err != nil {
		return nil, err
	}
	return upright(img, orientation), nil
}

func decodeFile(path string) (image.Image, error) {
	f, err := os.Open(path) //nolint:gosec // where the file plugin says the picture is
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxPictureFile {
		return nil, errors.New("too large to be shown here")
	}
	return decode(f)
}

// shrink makes a picture at most so large, and keeps its shape.
func shrink(img image.Image, width, height int) image.Image {
	size := img.Bounds().Size()
	w, h := fitInto(size.X, size.Y, width, height)
	if w >= size.X && h >= size.Y {
		return img
	}
	small := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.BiLinear.Scale(small, small.Bounds(), img, img.Bounds(), draw.Src, nil)
	return small
}

// fitInto gives the largest size of a picture's shape within another, not larger
// than the picture.
func fitInto(w, h, width, height int) (int, int) {
	if w <= 0 || h <= 0 {
		return 1, 1
	}
	scale := min(1, float64(width)/float64(w), float64(height)/float64(h))
	return max(1, int(float64(w)*scale+0.5)), max(1, int(float64(h)*scale+0.5))
}

// pictures decodes pictures beside the GTK thread, one after the other, and keeps
// those that were shown last.
type pictures struct {
	worker chan struct{}
	cache  []cached
	size   int
}

type cached struct {
	key    string
	pixels *gtkx.Pixels
}

func newPictures() *pictures { return &pictures{worker: make(chan struct{}, 1)} }

// get makes a picture, and hands it over on the GTK thread.
func (p *pictures) get(key string, make func() (image.Image, error), done func(*gtkx.Pixels, error)) {
	if i := slices.IndexFunc(p.cache, func(c cached) bool { return c.key == key }); i >= 0 && key != "" {
		c := p.cache[i]
		p.cache = append(slices.Delete(p.cache, i, i+1), c)
		done(c.pixels, nil)
		return
	}
	go func() {
		p.worker <- struct{}{}
		img, err := make()
		var pixels *gtkx.Pixels
		if err == nil {
			pixels, err = gtkx.NewPixels(img)
		}
		<-p.worker
		glib.IdleAdd(func() {
			if err == nil && key != "" {
				p.keep(key, pixels)
			}
			done(pixels, err)
		})
	}()
}

func (p *pictures) keep(key string, pixels *gtkx.Pixels) {
	p.cache = append(p.cache, cached{key, pixels})
	p.size += area(pixels)
	for p.size > cachedPixels && len(p.cache) > 1 {
		p.size -= area(p.cache[0].pixels)
		p.cache[0].pixels.Close() // who shows it keeps it
		p.cache = slices.Delete(p.cache, 0, 1)
	}
}

func area(p *gtkx.Pixels) int { return p.Size().X * p.Size().Y }

// pictureView is a picture in a message.
type pictureView struct {
	pane    *Pane
	box     *gtk.EventBox
	picture *gtkx.Picture
	click   func()
	alive   bool
	exact   bool // the picture itself is shown, not its thumbnail
}

func newPictureView(p *Pane, name string) *pictureView {
	v := &pictureView{pane: p, alive: true}
	v.picture = widget.Must(gtkx.NewPicture(p.window.Texts().F("Picture: %s", name)))
	v.picture.SetStyle(gtkx.Cover, 10)
	v.box = widget.Must(gtk.EventBoxNew())
	v.box.SetVisibleWindow(false)
	v.box.SetAboveChild(true) // else the picture itself gets what is pressed
	v.box.SetCanFocus(true)
	v.box.SetHAlign(gtk.ALIGN_START)
	v.box.Add(v.picture)
	gtkx.SetName(v.box, name)
	v.box.Connect("button-release-event", func(_ *gtk.EventBox, e *gdk.Event) bool {
		if gdk.EventButtonNewFromEvent(e).Button() != gdk.BUTTON_PRIMARY || v.click == nil {
			return false
		}
		v.click()
		return true
	})
	v.box.Connect("key-press-event", func(_ *gtk.EventBox, e *gdk.Event) bool {
		switch gdk.EventKeyNewFromEvent(e).KeyVal() {
		case gdk.KEY_Return, gdk.KEY_KP_Enter, gdk.KEY_space:
			if v.click != nil {
				v.click()
				return true
			}
		}
		return false
	})
	v.picture.Connect("destroy", func() { v.alive = false })
	return v
}

// size says how large it is drawn: the room is known before the picture is.
func (v *pictureView) size(width, height, room int) {
	w, h := fitInto(width, height, min(pictureWidth, room), pictureHeight)
	v.picture.SetSizeRequest(max(w, 48), max(h, 48))
}

// load shows the file once it is here, and the thumbnail until then.
func (v *pictureView) load(path string, thumbnail []byte) {
	if path != "" {
		scale := v.picture.GetScaleFactor()
		key := path
		if info, err := os.Stat(path); err == nil {
			key = fmt.Sprint(path, info.Size(), info.ModTime().UnixNano(), scale)
		}
		v.pane.pictures.get(key, func() (image.Image, error) {
			img, err := decodeFile(path)
			if err != nil {
				return nil, err
			}
			return shrink(img, pictureWidth*scale, pictureHeight*scale), nil
		}, func(p *gtkx.Pixels, err error) {
			if err == nil && v.alive {
				v.exact = true
				v.picture.Show(p)
			}
		})
	}
	if len(thumbnail) == 0 || len(thumbnail) > 128<<10 {
		return
	}
	v.pane.pictures.get("", func() (image.Image, error) {
		img, err := decode(bytes.NewReader(thumbnail))
		if err != nil {
			return nil, err
		}
		return shrink(img, 2*pictureWidth, 2*pictureHeight), nil
	}, func(p *gtkx.Pixels, err error) {
		if err == nil && v.alive && !v.exact {
			v.picture.Show(p)
		}
	})
}
