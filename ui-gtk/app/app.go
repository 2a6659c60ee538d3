// Package app is the window's program: GTK's main loop, the one gateway to its
// thread, and the windows, one for each profile.
package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/adrg/xdg"
	"github.com/godbus/dbus/v5"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/ui-gtk/desktop"
	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/texts"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
)

// iconName is the name of the program's icon, and of its desktop entry.
const iconName = "chat.parley.Parley"

// Config says what the program is started with.
type Config struct {
	// Profile whose window is opened; client.DefaultProfile when empty.
	Profile string
	Log     *slog.Logger
}

// App is the program.
type App struct {
	cfg         Config
	ctx         context.Context
	bus         *dbus.Conn // nil without a session bus
	loop        *viewmodel.Queue
	preferences *viewmodel.PreferencesStore
	texts       *texts.Texts
	style       *style
	windows     map[string]*Window // by profile
}

// Run shows the window until it is closed or the context ends. It must be called
// from main's goroutine.
func Run(ctx context.Context, cfg Config) error {
	err := gtkx.Init()
	if err != nil {
		return err
	}
	if cfg.Profile == "" {
		cfg.Profile = client.DefaultProfile
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a := &App{cfg: cfg, ctx: ctx, loop: newLoop(), windows: map[string]*Window{}}
	a.preferences = viewmodel.LoadPreferences(preferencesPath())
	if err := a.preferences.Problem; err != nil {
		cfg.Log.Warn("preferences", "error", err)
	}
	a.texts = texts.New(a.preferences.Value.Get().Language)
	if a.style, err = newStyle(cfg.Log); err != nil {
		return fmt.Errorf("read GTK's settings: %w", err)
	}
	a.preferences.Value.Observe(a.style.follow)
	if a.bus, err = dbus.ConnectSessionBus(dbus.WithContext(ctx)); err != nil {
		cfg.Log.Info("there is no session bus, and so no notifications, links and single instance", "error", err)
	} else {
		defer func() { _ = a.bus.Close() }()
		go a.followScheme()
	}
	if err := a.open(cfg.Profile); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { a.loop.Post(gtk.MainQuit) })()
	gtk.Main()
	return nil
}

// followScheme follows whether the desktop is light or dark.
func (a *App) followScheme() {
	err := desktop.FollowScheme(a.ctx, a.bus, func(dark bool) { a.loop.Post(func() { a.style.setSystem(dark) }) })
	if a.ctx.Err() == nil {
		a.cfg.Log.Info("the desktop does not tell whether it is light or dark", "error", err)
	}
}

// preferencesPath is where the window keeps its own preferences.
func preferencesPath() string {
	if home := os.Getenv("PARLEY_HOME"); home != "" {
		return filepath.Join(home, "window.json")
	}
	return filepath.Join(xdg.ConfigHome, "parley", "window.json")
}

// quit ends the program.
func (a *App) quit() {
	for _, w := range a.windows {
		w.keepSize()
	}
	gtk.MainQuit()
}

// open shows the window of a profile.
func (a *App) open(profile string) error {
	if w := a.windows[profile]; w != nil {
		w.native.Present()
		return nil
	}
	folders, err := client.FoldersOf(profile)
	if err != nil {
		return err
	}
	session := viewmodel.NewSession(viewmodel.Config{
		Loop: a.loop, Texts: a.texts,
		Connect: func(ctx context.Context) (viewmodel.Core, error) {
			program, err := coreProgram()
			if err != nil {
				return nil, err
			}
			return client.Start(ctx, folders, program)
		},
	})
	ctx, cancel := context.WithCancel(a.ctx)
	w, err := newWindow(a, profile, session)
	if err != nil {
		cancel()
		return err
	}
	a.windows[profile] = w
	w.native.Connect("destroy", func() {
		cancel()
		delete(a.windows, profile)
		if len(a.windows) == 0 {
			gtk.MainQuit()
		}
	})
	go session.Run(ctx)
	return nil
}

// coreProgram finds the parley executable: beside this one, or in PATH.
func coreProgram() (string, error) {
	self, err := os.Executable()
	if err == nil {
		beside := filepath.Join(filepath.Dir(self), "parley")
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil
		}
	}
	path, err := exec.LookPath("parley")
	if err != nil {
		return "", fmt.Errorf("the program \"parley\" is neither beside this one nor in PATH: install Parley anew: %w", err)
	}
	return path, nil
}
