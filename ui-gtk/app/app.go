// Package app is the window's program: GTK's main loop, and what lives as long as it.
package app

import (
	"context"
	"fmt"

	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
)

// Run shows the window until it is closed or the context ends. It must be called
// from main's goroutine.
func Run(ctx context.Context) error {
	if err := gtkx.Init(); err != nil {
		return err
	}
	window, err := gtk.WindowNew(gtk.WINDOW_TOPLEVEL)
	if err != nil {
		return fmt.Errorf("make the window: %w", err)
	}
	window.SetTitle("Parley")
	window.SetDefaultSize(1000, 700)
	window.Connect("destroy", gtk.MainQuit)
	defer context.AfterFunc(ctx, func() { glib.IdleAdd(window.Destroy) })()
	window.ShowAll()
	gtk.Main()
	return ctx.Err()
}
