package gtkx

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"os"
	"testing"
	"time"

	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/test/ui/desktop"
)

// patience is how long a test waits for what it waits for, on a busy machine.
const patience = time.Minute

// helper is the variable that makes this binary another program for the tests.
const helper = "PARLEY_GTKX_HELPER"

var (
	screen  *desktop.Desktop
	missing error // why there is none
)

// GTK has the thread of main, and the tests have the others.
func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv(helper) == "" {
		var err error
		if screen, err = desktop.Start(desktop.Config{Width: 640, Height: 480}); errors.Is(err, desktop.ErrMissing) {
			missing = err
			return m.Run()
		} else if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer screen.Close()
		if err := screen.Setenv(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if err := Init(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if name := os.Getenv(helper); name != "" {
		glib.IdleAdd(helpers[name])
		gtk.Main()
		return 0
	}
	status := make(chan int, 1)
	go func() {
		status <- m.Run()
		glib.IdleAdd(gtk.MainQuit)
	}()
	gtk.Main()
	return <-status
}

// needsScreen skips a test where there is none.
func needsScreen(t *testing.T) {
	t.Helper()
	if missing != nil {
		t.Skip(missing)
	}
}

// do runs f on the GTK thread, and gives what it gives. f must not end the test.
func do[T any](f func() T) T {
	result := make(chan T, 1)
	glib.IdleAdd(func() { result <- f() })
	return <-result
}

// act is do for what gives nothing.
func act(f func()) { do(func() struct{} { f(); return struct{}{} }) }

// shown makes a window of its own around a widget, at the top left of the screen,
// and waits until it is there.
func shown(t *testing.T, make func() gtk.IWidget) *gtk.Window {
	t.Helper()
	mapped := newSignal()
	type made struct {
		window *gtk.Window
		err    error
	}
	got := do(func() made {
		w, err := gtk.WindowNew(gtk.WINDOW_TOPLEVEL)
		if err != nil {
			return made{err: err}
		}
		w.SetDecorated(false)
		w.Add(make())
		w.Connect("map-event", mapped.set)
		w.ShowAll()
		w.Move(0, 0)
		return made{window: w}
	})
	if got.err != nil {
		t.Fatal(got.err)
	}
	t.Cleanup(func() { act(got.window.Destroy) })
	mapped.await(t, "the window is shown")
	return got.window
}

// signal is something that happens once or more.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) set() {
	select {
	case s <- struct{}{}:
	default:
	}
}

func (s signal) await(t *testing.T, what string) {
	t.Helper()
	select {
	case <-s:
	case <-time.After(patience):
		t.Fatalf("not within %s: %s", patience, what)
	}
}

// until waits for a condition, which it tries again and again.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// awaitColor waits until a place on the screen has a colour, nearly.
func awaitColor(t *testing.T, at image.Point, want color.RGBA) {
	t.Helper()
	var got color.RGBA
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		img, err := screen.Screenshot()
		if err != nil {
			t.Fatal(err)
		}
		if got = img.RGBAAt(at.X, at.Y); near(got, want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the screen at %v is %v, want %v", at, got, want)
		}
	}
}

func near(a, b color.RGBA) bool {
	off := func(x, y uint8) bool { return max(x, y)-min(x, y) > 3 }
	return !off(a.R, b.R) && !off(a.G, b.G) && !off(a.B, b.B)
}

// helpers are the other programs that this binary can be. They run on the GTK thread.
var helpers = map[string]func(){
	"clipboard": ownClipboard,
	"link":      showLink,
	"sharp":     showSharp,
}

// start runs this binary as another program on the same desktop, until it says that
// it is ready.
func start(t *testing.T, name string, env ...string) *process.Process {
	t.Helper()
	p, err := process.Start(process.Config{Program: os.Args[0], Env: append(env, helper+"="+name)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := p.Await(ctx, "ready"); err != nil {
		t.Fatal(err)
	}
	return p
}

func ready() { fmt.Println("ready") }
