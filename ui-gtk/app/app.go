// Package app is the window's program: GTK's main loop, the one gateway to its
// thread, and the windows, one for each profile.
package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/adrg/xdg"
	"github.com/godbus/dbus/v5"
	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/ui-gtk/desktop"
	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/hosting"
	"github.com/parley-chat/parley/ui-gtk/notify"
	"github.com/parley-chat/parley/ui-gtk/texts"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
)

// Config says what the program is started with.
type Config struct {
	// Start is what this start asks for.
	Start desktop.Start
	Log   *slog.Logger
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
	notifier    *notify.Notifier
	windows     map[string]*Window // by profile
	waiting     []string           // links that came before an account was open
	notified    chan struct{}      // is closed when no notification is left; nil without a session bus
}

// tellTimeout is how long the Parley that runs may take to hear of a second start.
const tellTimeout = 10 * time.Second

// Run shows the windows until the program is quit or the context ends. Where Parley
// runs already it tells that one, and comes back at once. It must be called from
// main's goroutine.
func Run(ctx context.Context, cfg Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a := &App{cfg: cfg, ctx: ctx, loop: newLoop(), windows: map[string]*Window{}}
	if cfg.Start.Profile != "" {
		if _, err := client.FoldersOf(cfg.Start.Profile); err != nil {
			return err
		}
	}
	bus, err := dbus.ConnectSessionBus(dbus.WithContext(ctx))
	if err != nil {
		cfg.Log.Info("there is no session bus: no notifications, no links, and each start opens another window", "error", err)
	} else {
		a.bus = bus
		defer func() { _ = bus.Close() }()
		first, err := a.claim()
		if first == nil || err != nil {
			return err
		}
		defer first.Close()
	}
	glib.SetApplicationName("Parley")
	glib.SetPrgname(iconName) // the windows' class, by which desktops find the entry
	if err := gtkx.Init(); err != nil {
		return err
	}
	if err := a.prepare(); err != nil {
		return err
	}
	if err := a.started(cfg.Start); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { a.loop.Post(a.quit) })()
	gtk.Main()
	cancel()
	if a.notified != nil {
		<-a.notified // what is shown on the desktop is taken away
	}
	return nil
}

// claim makes this the one Parley on the bus. It gives nil when there is one, which
// was told of this start.
func (a *App) claim() (*desktop.Instance, error) {
	name := desktop.InstanceName(os.Getenv("PARLEY_HOME"))
	first, err := desktop.Claim(a.bus, name, func(s desktop.Start) {
		a.loop.Post(func() {
			if err := a.started(s); err != nil {
				a.say(err.Error())
			}
		})
	})
	if err != nil || first != nil {
		return first, err
	}
	ctx, cancel := context.WithTimeout(a.ctx, tellTimeout)
	defer cancel()
	return nil, desktop.Tell(ctx, a.bus, name, a.cfg.Start)
}

// prepare makes what all windows share.
func (a *App) prepare() error {
	a.preferences = viewmodel.LoadPreferences(preferencesPath())
	if err := a.preferences.Problem; err != nil {
		a.cfg.Log.Warn("preferences", "error", err)
	}
	a.texts = texts.New(a.preferences.Value.Get().Language)
	var err error
	if a.style, err = newStyle(a.cfg.Log); err != nil {
		return fmt.Errorf("read GTK's settings: %w", err)
	}
	folders, err := client.FoldersOf("")
	if err != nil {
		return err
	}
	if err := addIcons(filepath.Join(filepath.Dir(folders.Cache), "icons")); err != nil {
		a.cfg.Log.Warn("icons", "error", err) // there are others in their place
	}
	a.preferences.Value.Observe(a.style.follow)
	a.preferences.Value.Observe(a.speak)
	a.notifier = a.newNotifier()
	if a.bus != nil {
		go a.followScheme()
		a.notified = make(chan struct{})
		go func() {
			defer close(a.notified)
			_ = a.notifier.Serve(a.ctx) // ends with the context alone
		}()
	}
	if host, err := localDirectory(); err == nil {
		go func() {
			if err := host.Resume(a.ctx); err != nil && a.ctx.Err() == nil {
				a.cfg.Log.Error("directory on this computer", "error", err)
			}
		}()
	}
	return nil
}

// started does what a start asks for: the first one, or a further one.
func (a *App) started(s desktop.Start) error {
	if s.Profile != "" {
		if err := a.open(s.Profile, !s.Background, s.Token); err != nil {
			return err
		}
	} else if err := a.openAll(!s.Background, s.Token); err != nil {
		return err
	}
	for _, link := range s.Links {
		a.follow(link)
	}
	return nil
}

// openAll opens the windows that are there, or those that were open last.
func (a *App) openAll(show bool, token string) error {
	profiles := slices.Sorted(maps.Keys(a.windows))
	if len(profiles) == 0 {
		profiles = a.preferences.Value.Get().Recent
	}
	for _, name := range profiles {
		if err := a.open(name, show, token); err != nil {
			a.cfg.Log.Warn("a window that was open last", "error", err)
		}
	}
	if len(a.windows) == 0 {
		return a.open(client.DefaultProfile, show, token)
	}
	return nil
}

// followScheme follows whether the desktop is light or dark.
func (a *App) followScheme() {
	err := desktop.FollowScheme(a.ctx, a.bus, func(dark bool) { a.loop.Post(func() { a.style.setSystem(dark) }) })
	if a.ctx.Err() == nil {
		a.cfg.Log.Info("the desktop does not tell whether it is light or dark", "error", err)
	}
}

// speak changes the language of all windows.
func (a *App) speak(p viewmodel.Preferences) {
	was := a.texts.Language()
	a.texts.Use(p.Language)
	if a.texts.Language() == was {
		return
	}
	for _, w := range a.windows {
		w.session.Relabel()
		w.draw()
	}
	a.notifier.Refresh()
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

// background says whether Parley goes on without a window: somebody wants that, and
// a further start can bring the window back.
func (a *App) background() bool { return a.bus != nil && a.preferences.Value.Get().Background }

// say shows a sentence in a window that is open, or in the log.
func (a *App) say(text string) {
	if w := a.front(); w != nil {
		w.Toast(text)
		return
	}
	a.cfg.Log.Warn(text)
}

// front gives the window that is in use, or any; nil without one.
func (a *App) front() *Window {
	var any *Window
	for _, w := range a.windows {
		if w.native.IsActive() {
			return w
		}
		if any == nil || w.profile == client.DefaultProfile {
			any = w
		}
	}
	return any
}

// open opens the window of a profile, and shows it if it shall be seen. token is
// the desktop's leave to come to the front.
func (a *App) open(profile string, show bool, token string) error {
	w := a.windows[profile]
	if w == nil {
		var err error
		if w, err = a.newWindow(profile); err != nil {
			return err
		}
	}
	if show {
		if token != "" {
			w.native.SetStartupID(token)
		}
		w.native.Present()
	}
	return nil
}

func (a *App) newWindow(profile string) (*Window, error) {
	folders, err := client.FoldersOf(profile)
	if err != nil {
		return nil, err
	}
	probe, err := gtk.LabelNew("")
	if err != nil {
		return nil, err
	}
	cfg := viewmodel.Config{
		Loop: a.loop, Texts: a.texts,
		Connect: func(ctx context.Context) (viewmodel.Core, error) {
			core, err := program("parley")
			if err != nil {
				return nil, err
			}
			return client.Start(ctx, folders, core)
		},
		Draws: func(emoji string) bool { return gtkx.Draws(probe, emoji) },
	}
	if host, err := localDirectory(); err == nil {
		cfg.Host = func(ctx context.Context) (viewmodel.Hosted, error) {
			d, err := host.Start(ctx)
			return viewmodel.Hosted(d), err
		}
		cfg.HostState = func(ctx context.Context) (viewmodel.HostState, error) {
			s, err := host.State(ctx)
			return viewmodel.HostState(s), err
		}
		cfg.StopHost = host.Stop
		cfg.Reachable = host.Reachable
	}
	session := viewmodel.NewSession(cfg)
	known := a.preferences.Value.Get().Directory
	session.Login.Form.Directory, session.Login.Form.Register = known, known == ""
	ctx, cancel := context.WithCancel(a.ctx)
	w, err := newWindow(a, profile, session)
	if err != nil {
		cancel()
		return nil, err
	}
	a.windows[profile] = w
	a.retitle()
	a.tell(w)
	w.native.Connect("destroy", func() {
		w.notifier.Close()
		cancel()
		delete(a.windows, profile)
		a.retitle()
		if len(a.windows) == 0 {
			gtk.MainQuit()
		}
	})
	a.remember()
	go session.Run(ctx)
	return w, nil
}

// retitle gives the windows titles by which they are told apart.
func (a *App) retitle() {
	for _, w := range a.windows {
		title := "Parley"
		if len(a.windows) > 1 {
			title = client.PrintableLine(cmp.Or(w.session.User(), w.profile)) + " – Parley"
		}
		w.native.SetTitle(title)
	}
}

// remember notes which windows are open, for the next start.
func (a *App) remember() {
	open := slices.Sorted(maps.Keys(a.windows))
	a.prefer(func(p *viewmodel.Preferences) { p.Recent = open })
}

// prefer changes the preferences.
func (a *App) prefer(change func(*viewmodel.Preferences)) {
	if err := a.preferences.Set(change); err != nil {
		a.cfg.Log.Warn("preferences", "error", err)
	}
}

// program finds an executable of Parley's: beside this one, or in PATH.
func program(name string) (string, error) {
	self, err := os.Executable()
	if err == nil {
		beside := filepath.Join(filepath.Dir(self), name)
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("the program %q is neither beside this one nor in PATH: install Parley anew: %w", name, err)
	}
	return path, nil
}

// localDirectory is the directory on this computer, whether it was ever started or
// not.
func localDirectory() (hosting.Host, error) {
	server, err := program("parley-server")
	if err != nil {
		return hosting.Host{}, err
	}
	folders, err := client.FoldersOf("")
	if err != nil {
		return hosting.Host{}, err
	}
	return hosting.Host{Folder: filepath.Join(filepath.Dir(filepath.Dir(folders.Data)), "directory"), Program: server}, nil
}
