// Package ui drives real windows in tests: it starts programs on a desktop that
// nobody sees, finds what they show by role and name as a screen reader does, uses it
// with clicks and keys, and waits for what a person would notice.
package ui

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/test/ui/atspi"
	"github.com/parley-chat/parley/test/ui/desktop"
)

const (
	// patience is how long a test waits for anything, on a busy machine.
	patience = time.Minute
	// pause lies between two looks.
	pause = 10 * time.Millisecond
)

// Driver drives programs on one desktop for one test. Its methods fail the test when
// something is not as it should be.
type Driver struct {
	Desktop *desktop.Desktop

	tb   testing.TB
	bus  *atspi.Bus
	apps []*App // all that were started
	kept bool   // a picture of what failed
}

// New makes a driver on a desktop of its own. The test is skipped where there can be
// none; programs end with the test, and leave a picture of the screen if it failed
// and PARLEY_SCREENSHOTS names a folder.
func New(tb testing.TB, cfg desktop.Config) *Driver {
	tb.Helper()
	d := &Driver{Desktop: desktop.New(tb, cfg), tb: tb}
	ctx, cancel := d.context()
	defer cancel()
	var err error
	if d.bus, err = atspi.Connect(ctx, d.Desktop.Bus); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(d.bus.Close)
	return d
}

// keepFailure leaves a picture of the screen of a test that failed, once.
func (d *Driver) keepFailure() {
	folder := os.Getenv("PARLEY_SCREENSHOTS")
	if !d.tb.Failed() || folder == "" || d.kept {
		return
	}
	d.kept = true
	d.SaveScreenshot(filepath.Join(folder, strings.ReplaceAll(d.tb.Name(), "/", "-")+d.Desktop.Display+".png"))
}

func (d *Driver) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(d.tb.Context(), patience)
}

// App is a program that runs.
type App struct {
	*process.Process
	Element
}

// Start starts a program on the desktop, and waits until it shows a window.
func (d *Driver) Start(cfg process.Config) *App {
	d.tb.Helper()
	cfg.Env = append(d.Desktop.Env(), cfg.Env...)
	p, err := process.Start(cfg)
	if err != nil {
		d.tb.Fatal(err)
	}
	d.tb.Cleanup(func() {
		d.keepFailure() // while it shows what it does
		if d.tb.Failed() {
			d.tb.Logf("%s: %v", cfg.Program, p.Stop())
		}
		p.Kill()
	})
	app := &App{Process: p, Element: Element{d: d}}
	d.apps = append(d.apps, app)
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		ctx, cancel := d.context()
		app.it, err = d.bus.Application(ctx, p.PID())
		if err == nil {
			var windows []atspi.Element
			if windows, err = app.it.Children(ctx); err == nil && len(windows) == 0 {
				err = errors.New("it shows no window")
			}
		}
		cancel()
		if err == nil {
			return app
		}
		select {
		case <-p.Exited():
			d.tb.Fatalf("%s ended: %v", cfg.Program, p.Stop())
		default:
		}
		if time.Now().After(end) {
			d.tb.Fatalf("%s is not there within %s: %v", cfg.Program, patience, err)
		}
	}
}

// Window waits for a window with a title.
func (a *App) Window(title string) Element {
	a.d.tb.Helper()
	var found Element
	a.d.Until(fmt.Sprintf("a window %q is there", title), func() bool {
		for _, role := range []atspi.Role{atspi.Frame, atspi.Dialog, atspi.Window, atspi.Alert, atspi.FileChooser} {
			if all := a.children(role, title); len(all) > 0 {
				found = all[0]
				return true
			}
		}
		return false
	})
	return found
}

// children are what is right in an application, in which nothing can be searched.
func (a *App) children(role atspi.Role, name string) []Element {
	ctx, cancel := a.d.context()
	defer cancel()
	all, _ := a.it.Children(ctx)
	var fit []Element
	for _, it := range all {
		r, err := it.Role(ctx)
		if err != nil || r != role {
			continue
		}
		if n, err := it.Name(ctx); err == nil && n == name {
			fit = append(fit, Element{d: a.d, it: it})
		}
	}
	return fit
}

// Element is something that a window shows.
type Element struct {
	d     *Driver
	it    atspi.Element
	again func() []Element // looks for it once more; nil when it was not searched for
}

// Find waits for the first element with a role and a name in this one.
func (e Element) Find(role atspi.Role, name string) Element {
	e.d.tb.Helper()
	return e.FindFunc(role, fmt.Sprintf("%q", name), func(it string) bool { return it == name })
}

// FindFunc waits for the first element with a role whose name fits, which what tells.
func (e Element) FindFunc(role atspi.Role, what string, fits func(name string) bool) Element {
	e.d.tb.Helper()
	var found Element
	e.until(fmt.Sprintf("a %s %s shows", roleName(role), what), func() bool {
		all := e.AllFunc(role, fits)
		if len(all) > 0 {
			found = all[0]
		}
		return len(all) > 0
	})
	found.again = func() []Element { return e.AllFunc(role, fits) }
	return found
}

// Gone waits until no element with a role and a name shows in this one.
func (e Element) Gone(role atspi.Role, name string) {
	e.d.tb.Helper()
	e.until(fmt.Sprintf("no %s %q shows", roleName(role), name), func() bool { return len(e.All(role, name)) == 0 })
}

// All are the elements with a role and a name that show in this one now, in order.
func (e Element) All(role atspi.Role, name string) []Element {
	return e.AllFunc(role, func(it string) bool { return it == name })
}

// AllFunc are those whose names fit.
func (e Element) AllFunc(role atspi.Role, fits func(name string) bool) []Element {
	e.d.tb.Helper()
	ctx, cancel := e.d.context()
	defer cancel()
	all, err := e.now(ctx).FindFunc(ctx, role, fits)
	if err != nil && !errors.Is(err, atspi.ErrNotFound) {
		e.d.tb.Fatalf("search a window: %v", err)
	}
	found := make([]Element, 0, len(all))
	for _, it := range all {
		found = append(found, Element{d: e.d, it: it})
	}
	return found
}

func roleName(role atspi.Role) string {
	for name, r := range map[string]atspi.Role{
		"push button": atspi.PushButton, "list item": atspi.ListItem, "label": atspi.Label, "entry": atspi.Text, "list box": atspi.ListBox, "image": atspi.Image,
	} {
		if r == role {
			return name
		}
	}
	return fmt.Sprintf("element of role %d", role)
}

// Click does what the element is there for.
func (e Element) Click() { e.d.tb.Helper(); e.use("click", atspi.Element.Act) }

// Select selects a row of a list.
func (e Element) Select() { e.d.tb.Helper(); e.use("select", atspi.Element.Select) }

// Focus gives it the keyboard, within its window.
func (e Element) Focus() { e.d.tb.Helper(); e.use("focus", atspi.Element.Focus) }

// SetText writes into an entry or a text view, instead of what was there.
func (e Element) SetText(text string) {
	e.d.tb.Helper()
	e.use("write into", func(it atspi.Element, ctx context.Context) error { return it.SetText(ctx, text) })
}

// Text is what is written in it.
func (e Element) Text() string { e.d.tb.Helper(); return get(e, "text", atspi.Element.Text) }

// Name is what it is called.
func (e Element) Name() string { e.d.tb.Helper(); return get(e, "name", atspi.Element.Name) }

// Description says more than the name.
func (e Element) Description() string {
	e.d.tb.Helper()
	return get(e, "description", atspi.Element.Description)
}

// Bounds is where it is on the screen.
func (e Element) Bounds() image.Rectangle {
	e.d.tb.Helper()
	return get(e, "bounds", atspi.Element.Bounds)
}

// Is says whether it is in a state. What is gone is in none.
func (e Element) Is(state atspi.State) bool {
	e.d.tb.Helper()
	ctx, cancel := e.d.context()
	defer cancel()
	is, err := e.now(ctx).Is(ctx, state)
	if err != nil && !errors.Is(err, atspi.ErrNotFound) {
		e.d.tb.Fatalf("state: %v", err)
	}
	return is
}

// Answers asks it for its name, which it gives as soon as its program is not busy.
func (e Element) Answers(ctx context.Context) error {
	_, err := e.it.Name(ctx)
	return err
}

// Tree tells what is in it.
func (e Element) Tree() string {
	ctx, cancel := e.d.context()
	defer cancel()
	return e.it.Tree(ctx)
}

// now is the element as it is drawn now: what is drawn anew is another one.
func (e Element) now(ctx context.Context) atspi.Element {
	if e.again == nil {
		return e.it
	}
	if shows, err := e.it.Is(ctx, atspi.Showing); err == nil && shows {
		return e.it
	}
	if all := e.again(); len(all) > 0 {
		return all[0].it
	}
	return e.it
}

// use does something with the element. Where it goes at that moment to be drawn anew,
// or cannot be used yet, this waits, as a person does.
func (e Element) use(what string, f func(atspi.Element, context.Context) error) {
	e.d.tb.Helper()
	ctx, cancel := e.d.context()
	defer cancel()
	for {
		it := e.now(ctx)
		err := f(it, ctx)
		if err == nil {
			return
		}
		later := errors.Is(err, atspi.ErrNotFound) && e.again != nil || errors.Is(err, atspi.ErrRefused)
		if !later || ctx.Err() != nil {
			ctx, cancel := e.d.context()
			defer cancel()
			name, _ := it.Name(ctx)
			e.d.tb.Fatalf("%s %q: %v", what, name, err)
		}
		time.Sleep(pause)
	}
}

func get[T any](e Element, what string, f func(atspi.Element, context.Context) (T, error)) (v T) {
	e.d.tb.Helper()
	e.use(what, func(it atspi.Element, ctx context.Context) (err error) {
		v, err = f(it, ctx)
		return err
	})
	return v
}

// Choose chooses an item of a choice with a list to unfold.
func (e Element) Choose(item string) {
	e.d.tb.Helper()
	e.use("choose "+item+" in", func(it atspi.Element, ctx context.Context) error { return it.Choose(ctx, item) })
}

// Until waits for a condition that a person would notice, and tells what the windows
// had when it was in vain.
func (d *Driver) Until(what string, done func() bool) {
	d.tb.Helper()
	d.until(what, done, func() string {
		var trees strings.Builder
		for _, app := range d.apps {
			trees.WriteString(app.Tree())
		}
		return trees.String()
	})
}

// until is Until for what an element is to have.
func (e Element) until(what string, done func() bool) {
	e.d.tb.Helper()
	e.d.until(what, done, e.Tree)
}

func (d *Driver) until(what string, done func() bool, tree func() string) {
	d.tb.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(pause) {
		if time.Now().After(end) {
			d.tb.Fatalf("not within %s: %s\nthere is:\n%s", patience, what, tree())
		}
	}
}

// Placed waits until an element has its place, as a person does before the mouse
// goes there, and gives it. What has just appeared is 1x1 until the window lays it
// out, what is beside something that goes moves, and what is drawn anew is another
// element, which is therefore looked for again.
func (e Element) Placed() image.Rectangle {
	e.d.tb.Helper()
	var at image.Rectangle
	same := 0
	e.until("it has its place", func() bool {
		if e.again != nil {
			all := e.again()
			if len(all) == 0 {
				return false
			}
			e.it = all[0].it
		}
		ctx, cancel := e.d.context()
		defer cancel()
		now, err := e.it.Bounds(ctx)
		if err != nil || now != at || now.Dx() <= 1 || now.Dy() <= 1 {
			at, same = now, 0
			return false
		}
		same++
		return same >= 3
	})
	return at
}

// ClickMouse clicks in the middle of an element, with a real mouse.
func (e Element) ClickMouse(button desktop.Button) {
	e.d.tb.Helper()
	at := e.Placed()
	screen := e.d.Desktop
	for _, err := range []error{
		screen.MoveMouse(at.Min.Add(at.Size().Div(2))), screen.PressButton(button), screen.ReleaseButton(button),
	} {
		if err != nil {
			e.d.tb.Fatal(err)
		}
	}
}

// Activate gives a program's window the keyboard, as a window manager would.
func (a *App) Activate(window Element) {
	a.d.tb.Helper()
	title := window.Name()
	a.d.Until("the window has the keyboard", func() bool {
		if err := a.d.Desktop.FocusWindow(a.PID(), title); err != nil {
			return false // it is not there yet
		}
		return window.Is(atspi.Active)
	})
}

// Resize makes a program's window larger or smaller, as a window manager would.
func (a *App) Resize(window Element, width, height int) {
	a.d.tb.Helper()
	if err := a.d.Desktop.ResizeWindow(a.PID(), window.Name(), width, height); err != nil {
		a.d.tb.Fatal(err)
	}
}

// Keys presses keys on the real keyboard, one combination after the other, by the
// names of xdotool: "ctrl+k", "Return".
func (d *Driver) Keys(keys ...string) {
	d.tb.Helper()
	d.xdotool(append([]string{"key", "--"}, keys...)...)
}

// Type types text on the real keyboard.
func (d *Driver) Type(text string) {
	d.tb.Helper()
	// xdotool puts what is not on the keyboard on one key for a moment, which a busy
	// program misses.
	if err := d.Desktop.AddKeys(text); err != nil {
		d.tb.Fatal(err)
	}
	d.xdotool("type", "--delay", "4", "--", text)
}

func (d *Driver) xdotool(args ...string) {
	d.tb.Helper()
	path, err := exec.LookPath("xdotool")
	if err != nil {
		d.tb.Skipf("xdotool is not installed: %v", desktop.ErrMissing)
	}
	ctx, cancel := d.context()
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), d.Desktop.Env()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		d.tb.Fatalf("xdotool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// Copy puts something on the clipboard, as another program would, in all the forms
// of which offers has a type each: "UTF8_STRING", "image/png".
func (d *Driver) Copy(offers map[string][]byte) {
	d.tb.Helper()
	c, err := d.Desktop.Copy(offers)
	if err != nil {
		d.tb.Fatal(err)
	}
	d.tb.Cleanup(c.Close)
}

// Screenshot is what the screen shows.
func (d *Driver) Screenshot() *image.RGBA {
	d.tb.Helper()
	img, err := d.Desktop.Screenshot()
	if err != nil {
		d.tb.Fatal(err)
	}
	return img
}

// Screenshot is what the screen shows where the element is.
func (e Element) Screenshot() image.Image {
	e.d.tb.Helper()
	return e.d.Screenshot().SubImage(e.Bounds())
}

// SaveScreenshot writes what the screen shows into a PNG file.
func (d *Driver) SaveScreenshot(path string) {
	d.tb.Helper()
	if err := savePNG(path, d.Screenshot()); err != nil {
		d.tb.Error(err)
	}
}

// SaveScreenshot writes what the screen shows where the element is.
func (e Element) SaveScreenshot(path string) {
	e.d.tb.Helper()
	if err := savePNG(path, e.Screenshot()); err != nil {
		e.d.tb.Error(err)
	}
}

func savePNG(path string, img image.Image) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := png.Encode(f, img); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
