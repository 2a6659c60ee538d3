package desktop

import (
	"fmt"
	"hash/maphash"
	"image"
	"io"
	"log" //nolint:depguard // xgb takes no other

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
	"github.com/jezek/xgb/xtest"
)

// xgb says of each connection that nothing has to be proven.
func init() { xgb.Logger = log.New(io.Discard, "", 0) }

// connect opens a connection to the X server, for one thing to do there.
func (d *Desktop) connect() (*xgb.Conn, xproto.Window, error) {
	conn, err := xgb.NewConnDisplay(d.Display)
	if err != nil {
		return nil, 0, fmt.Errorf("display %s: %w", d.Display, err)
	}
	return conn, xproto.Setup(conn).DefaultScreen(conn).Root, nil
}

// Screenshot is what the screen shows.
func (d *Desktop) Screenshot() (*image.RGBA, error) {
	pixels, size, err := d.pixels()
	if err != nil {
		return nil, err
	}
	img := image.NewRGBA(size)
	for i := 0; i < len(img.Pix); i += 4 {
		img.Pix[i], img.Pix[i+1], img.Pix[i+2], img.Pix[i+3] = pixels[i+2], pixels[i+1], pixels[i], 0xff
	}
	return img, nil
}

// seed is that of all fingerprints.
var seed = maphash.MakeSeed()

// Fingerprint is the same for two looks at a screen that shows the same. It is much
// quicker than comparing screenshots.
func (d *Desktop) Fingerprint() (uint64, error) {
	pixels, _, err := d.pixels()
	return maphash.Bytes(seed, pixels), err
}

// pixels gives the screen as the X server does: blue, green, red and something for
// each pixel.
func (d *Desktop) pixels() ([]byte, image.Rectangle, error) {
	conn, root, err := d.connect()
	if err != nil {
		return nil, image.Rectangle{}, err
	}
	defer conn.Close()
	screen := xproto.Setup(conn).DefaultScreen(conn)
	size := image.Rect(0, 0, int(screen.WidthInPixels), int(screen.HeightInPixels))
	reply, err := xproto.GetImage(conn, xproto.ImageFormatZPixmap, xproto.Drawable(root),
		0, 0, screen.WidthInPixels, screen.HeightInPixels, ^uint32(0)).Reply()
	if err != nil {
		return nil, size, fmt.Errorf("screenshot: %w", err)
	}
	if want := 4 * size.Dx() * size.Dy(); len(reply.Data) != want {
		return nil, size, fmt.Errorf("screenshot: %d bytes for %v, not the %d of four each", len(reply.Data), size.Max, want)
	}
	return reply.Data, size, nil
}

// Button is one of the mouse.
type Button byte

// Buttons of the mouse.
const (
	Left   Button = 1
	Middle Button = 2
	Right  Button = 3
)

// MoveMouse moves the pointer to a place on the screen. It comes back when the X
// server has done so; what programs make of it comes later.
func (d *Desktop) MoveMouse(to image.Point) error {
	return d.input(xproto.MotionNotify, 0, to)
}

// PressButton presses a button of the mouse and holds it.
func (d *Desktop) PressButton(b Button) error {
	return d.input(xproto.ButtonPress, byte(b), image.Point{})
}

// ReleaseButton lets go of it.
func (d *Desktop) ReleaseButton(b Button) error {
	return d.input(xproto.ButtonRelease, byte(b), image.Point{})
}

func (d *Desktop) input(kind, detail byte, at image.Point) error {
	conn, root, err := d.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := xtest.Init(conn); err != nil {
		return err
	}
	return xtest.FakeInputChecked(conn, kind, detail, 0, root, int16(at.X), int16(at.Y), 0).Check() //nolint:gosec // places on a screen
}

// FocusWindow gives the keyboard to a window of a process that shows, by its title,
// as a window manager would, of which there is none.
func (d *Desktop) FocusWindow(pid int, title string) error {
	return d.onWindow(pid, title, func(conn *xgb.Conn, w xproto.Window) error {
		return xproto.SetInputFocusChecked(conn, xproto.InputFocusParent, w, xproto.TimeCurrentTime).Check()
	})
}

// ResizeWindow makes a window larger or smaller, likewise.
func (d *Desktop) ResizeWindow(pid int, title string, width, height int) error {
	return d.onWindow(pid, title, func(conn *xgb.Conn, w xproto.Window) error {
		return xproto.ConfigureWindowChecked(conn, w, xproto.ConfigWindowWidth|xproto.ConfigWindowHeight, []uint32{uint32(width), uint32(height)}).Check() //nolint:gosec // of a screen
	})
}

// onWindow does something with a window of a process that shows, by its title.
func (d *Desktop) onWindow(pid int, title string, do func(*xgb.Conn, xproto.Window) error) error {
	conn, root, err := d.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	properties := map[string]xproto.Atom{"_NET_WM_PID": 0, "_NET_WM_NAME": 0}
	for name := range properties {
		atom, err := xproto.InternAtom(conn, false, uint16(len(name)), name).Reply() //nolint:gosec // a short name
		if err != nil {
			return err
		}
		properties[name] = atom.Atom
	}
	tree, err := xproto.QueryTree(conn, root).Reply()
	if err != nil {
		return err
	}
	const longest = 1 << 10
	for _, w := range tree.Children { // some go meanwhile, and answer with errors
		attributes, err := xproto.GetWindowAttributes(conn, w).Reply()
		if err != nil || attributes.MapState != xproto.MapStateViewable {
			continue
		}
		owner, err := xproto.GetProperty(conn, false, w, properties["_NET_WM_PID"], xproto.AtomCardinal, 0, 1).Reply()
		if err != nil || len(owner.Value) != 4 || int(xgb.Get32(owner.Value)) != pid {
			continue
		}
		name, err := xproto.GetProperty(conn, false, w, properties["_NET_WM_NAME"], xproto.GetPropertyTypeAny, 0, longest).Reply()
		if err != nil || string(name.Value) != title {
			continue
		}
		return do(conn, w)
	}
	return fmt.Errorf("process %d shows no window %q", pid, title)
}
