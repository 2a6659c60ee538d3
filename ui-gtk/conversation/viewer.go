package conversation

import (
	"bytes"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"

	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// viewer is a window with one picture.
type viewer struct {
	pane    *Pane
	file    *viewmodel.Transfer
	native  *gtk.Window
	scroll  *gtk.ScrolledWindow
	picture *gtkx.Picture
	image   image.Image
	pixels  *gtkx.Pixels
	zoom    float64 // 0 fits the window
	alive   bool
}

const zoomStep, zoomMost = 1.25, 8

// showPicture opens the viewer.
func (p *Pane) showPicture(f *viewmodel.Transfer) {
	t := p.window.Texts()
	v := &viewer{pane: p, file: f, alive: true}
	v.native = widget.Must(gtk.WindowNew(gtk.WINDOW_TOPLEVEL))
	v.native.SetTransientFor(p.window.Native())
	v.native.SetDestroyWithParent(true)
	v.native.SetDefaultSize(900, 640)
	v.native.SetTitle(f.Name)
	bar := widget.Must(gtk.HeaderBarNew())
	bar.SetTitle(f.Name)
	bar.SetShowCloseButton(true)
	bar.PackStart(widget.IconButton("zoom-out-symbolic", t.T("Zoom out (-)"), func() { v.step(1 / zoomStep) }))
	bar.PackStart(widget.IconButton("zoom-fit-best-symbolic", t.T("Fit the window (0)"), func() { v.setZoom(0) }))
	bar.PackStart(widget.IconButton("zoom-in-symbolic", t.T("Zoom in (+)"), func() { v.step(zoomStep) }))
	save := widget.IconButton("document-save-symbolic", t.T("Save as (Ctrl+S)"), v.save)
	save.SetSensitive(f.Path != "")
	bar.PackEnd(save)
	bar.PackEnd(widget.IconButton("edit-copy-symbolic", t.T("Copy (Ctrl+C)"), v.copy))
	v.native.SetTitlebar(bar)
	v.picture = widget.Must(gtkx.NewPicture(f.Name))
	v.scroll = widget.Must(gtk.ScrolledWindowNew(nil, nil))
	v.scroll.Add(v.picture)
	v.native.Add(v.scroll)
	widget.Class(v.native, "viewer")
	v.native.Connect("key-press-event", func(_ *gtk.Window, e *gdk.Event) bool { return v.key(gdk.EventKeyNewFromEvent(e)) })
	v.native.Connect("destroy", func() {
		v.alive = false
		if v.pixels != nil {
			v.pixels.Close()
		}
	})
	p.pictures.get("", func() (image.Image, error) {
		img, err := v.read()
		v.image = img
		return img, err
	}, func(pixels *gtkx.Pixels, err error) {
		if !v.alive {
			if pixels != nil {
				pixels.Close()
			}
			return
		}
		if err != nil {
			v.native.Destroy()
			p.failed(err)
			return
		}
		v.pixels = pixels
		v.picture.Show(pixels)
	})
	v.native.ShowAll()
}

// read reads the picture, or what came of it with the message.
func (v *viewer) read() (image.Image, error) {
	if v.file.Path == "" {
		return decode(bytes.NewReader(v.file.Thumbnail))
	}
	return decodeFile(v.file.Path)
}

func (v *viewer) key(e *gdk.EventKey) bool {
	control := gdk.ModifierType(e.State())&gdk.CONTROL_MASK != 0 //nolint:gosec // bits of the keyboard
	switch e.KeyVal() {
	case gdk.KEY_Escape:
		v.native.Destroy()
	case gdk.KEY_plus, gdk.KEY_equal, gdk.KEY_KP_Add:
		v.step(zoomStep)
	case gdk.KEY_minus, gdk.KEY_KP_Subtract:
		v.step(1 / zoomStep)
	case gdk.KEY_0, gdk.KEY_KP_0:
		v.setZoom(0)
	case gdk.KEY_1:
		v.setZoom(1)
	case gdk.KEY_s:
		if control && v.file.Path != "" {
			v.save()
		}
		return control
	case gdk.KEY_c:
		if control {
			v.copy()
		}
		return control
	default:
		return false
	}
	return true
}

func (v *viewer) step(by float64) {
	zoom := v.zoom
	if zoom == 0 && v.pixels != nil {
		w, _ := fitInto(v.pixels.Size().X, v.pixels.Size().Y, v.scroll.GetAllocatedWidth(), v.scroll.GetAllocatedHeight())
		zoom = float64(w) / float64(v.pixels.Size().X)
	}
	v.setZoom(max(0.05, min(zoom*by, zoomMost)))
}

// setZoom shows so many pixels of the screen for one of the picture.
func (v *viewer) setZoom(zoom float64) {
	if v.pixels == nil {
		return
	}
	v.zoom = zoom
	if zoom == 0 {
		v.picture.SetSizeRequest(-1, -1)
		return
	}
	size := v.pixels.Size()
	v.picture.SetSizeRequest(min(30_000, int(float64(size.X)*zoom)), min(30_000, int(float64(size.Y)*zoom)))
}

func (v *viewer) copy() {
	img := v.image
	if img == nil {
		return
	}
	go func() { // large ones take long
		var b bytes.Buffer
		err := png.Encode(&b, img)
		glib.IdleAdd(func() {
			if err == nil {
				err = gtkx.SetClipboard(gtkx.Clip{PNG: b.Bytes()})
			}
			if err != nil {
				v.pane.failed(err)
				return
			}
			v.pane.window.Toast(v.pane.window.Texts().T("The picture is on the clipboard."))
		})
	}()
}

func (v *viewer) save() {
	t := v.pane.window.Texts()
	d := widget.Must(gtk.FileChooserNativeDialogNew(t.T("Save the picture"), v.native, gtk.FILE_CHOOSER_ACTION_SAVE, t.T("Save"), t.T("Cancel")))
	defer d.Destroy()
	d.SetCurrentName(v.file.Name)
	d.SetDoOverwriteConfirmation(true)
	if gtk.ResponseType(d.Run()) != gtk.RESPONSE_ACCEPT {
		return
	}
	from, to := v.file.Path, d.GetFilename()
	go func() {
		err := copyFile(from, to)
		glib.IdleAdd(func() { v.pane.failed(err) })
	}()
}

// copyFile copies a file; what is there of an earlier one stays when that fails.
func copyFile(from, to string) error {
	in, err := os.Open(from) //nolint:gosec // where the file plugin says the picture is
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	out, err := os.CreateTemp(filepath.Dir(to), ".parley-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if e := out.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(out.Name(), to)
	}
	if err != nil {
		_ = os.Remove(out.Name())
	}
	return err
}
