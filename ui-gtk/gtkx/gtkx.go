// Package gtkx is what the window needs of GTK and gotk3 does not give, or gives
// broken. It holds all of Parley's own C; the packages with the widgets hold none.
//
// All of it is for the GTK thread, the one that ran [Init], unless a function says
// otherwise. Other goroutines get there by glib.IdleAdd.
package gtkx

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"
)

// GTK is used from one thread: that of main, which no other goroutine may take.
func init() { runtime.LockOSThread() }

// ErrNoDisplay is what [Init] gives where no window can be shown.
var ErrNoDisplay = errors.New("no display to open a window on: start it in a graphical session, or set DISPLAY or WAYLAND_DISPLAY")

// Init starts GTK on this thread, which must be that of main. It gives ErrNoDisplay
// when there is no screen.
func Init() error {
	glib.FinalizerStrategy = end
	// Everything is drawn without OpenGL. GTK would load it all the same, which where
	// no graphics card helps takes 60 MB and a part of a second.
	if _, ok := os.LookupEnv("GDK_GL"); !ok {
		if err := os.Setenv("GDK_GL", "disable"); err != nil {
			return fmt.Errorf("leave out OpenGL: %w", err)
		}
	}
	if gtk.InitCheck(nil) != nil {
		if display := os.Getenv("DISPLAY"); display != "" {
			return fmt.Errorf("%w (DISPLAY is %q, where nothing answers)", ErrNoDisplay, display)
		}
		return ErrNoDisplay
	}
	return nil
}
