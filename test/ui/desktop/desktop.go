// Package desktop starts desktops that nobody sees: an X server, a session bus and
// what serves assistive technology on it, for programs with windows and their tests.
// Each has folders of its own, and nothing of the desktop of who runs the tests.
package desktop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/parley-chat/parley/bench/process"
)

const (
	// startTimeout is how long each program has to be there, on a busy machine.
	startTimeout = 60 * time.Second
	launcher     = "/usr/libexec/at-spi-bus-launcher"
)

// ErrMissing is what [Start] gives where a program that it needs is not installed.
var ErrMissing = errors.New("run scripts/setup test")

// Config of a Desktop.
type Config struct {
	// Width and Height of the screen in pixels; 1280x860 when zero.
	Width, Height int
	// BusOnly leaves out the screen, and assistive technology with it.
	BusOnly bool
}

// Desktop is a screen with a session bus. Those of its methods that end nothing are
// safe for concurrent use.
type Desktop struct {
	// Display is what programs find in DISPLAY; empty when there is no screen.
	Display string
	// Bus is the address of the session bus, of all that are there one after the other.
	Bus string
	// Home is the folder that is HOME, and has the XDG ones in it.
	Home string

	root    string
	running []*process.Process // in the order in which they were started
}

// New is Start for a test: it skips the test where programs are missing, fails it
// when they do not start, and ends them with it.
func New(tb testing.TB, cfg Config) *Desktop {
	tb.Helper()
	d, err := Start(cfg)
	switch {
	case errors.Is(err, ErrMissing):
		tb.Skip(err)
	case err != nil:
		tb.Fatal(err)
	}
	tb.Cleanup(d.Close)
	return d
}

// Start starts a desktop, and comes back when all of it answers.
func Start(cfg Config) (*Desktop, error) {
	if cfg.Width == 0 || cfg.Height == 0 {
		cfg.Width, cfg.Height = 1280, 860
	}
	// Sockets lie in it, whose paths are short.
	root, err := os.MkdirTemp("", "pdesk")
	if err != nil {
		return nil, err
	}
	d := &Desktop{root: root, Home: filepath.Join(root, "home")}
	if err := d.start(cfg); err != nil {
		d.Close()
		return nil, fmt.Errorf("start a desktop for tests: %w", err)
	}
	return d, nil
}

func (d *Desktop) start(cfg Config) error {
	for _, dir := range []string{d.Home, d.path("run")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	if !cfg.BusOnly {
		screen := fmt.Sprintf("%dx%dx24", cfg.Width, cfg.Height)
		// It takes a number that is free, and says which when it can be used.
		isNumber := func(line string) bool {
			_, err := strconv.ParseUint(line, 10, 16)
			return err == nil
		}
		number, err := d.run("the number of its display", isNumber,
			"Xvfb", "-displayfd", "1", "-screen", "0", screen, "-nolisten", "tcp", "-noreset")
		if err != nil {
			return err
		}
		d.Display = ":" + number
	}
	d.Bus = "unix:path=" + d.path("bus")
	if err := os.WriteFile(d.path("bus.conf"), []byte(busConfig(d.Bus)), 0o600); err != nil {
		return err
	}
	if err := d.startBus(); err != nil {
		return err
	}
	if cfg.BusOnly {
		return nil
	}
	return d.startAccessibility()
}

// busConfig is that of a session bus which starts no programs: a service that
// somebody installed would be part of the test.
func busConfig(address string) string {
	return `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>` + address + `</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`
}

func (d *Desktop) startBus() error {
	_, err := d.run("its address", func(line string) bool { return strings.HasPrefix(line, "unix:") },
		"dbus-daemon", "--config-file="+d.path("bus.conf"), "--nofork", "--print-address=1")
	return err
}

// StopBus ends the session bus, as a session that ends does. Only for a desktop that
// has nothing else.
func (d *Desktop) StopBus() {
	_ = d.running[0].Stop()
	d.running = nil
}

// RestartBus starts another one in its place.
func (d *Desktop) RestartBus() error { return d.startBus() }

func (d *Desktop) startAccessibility() error {
	if _, err := os.Stat(launcher); err != nil {
		return fmt.Errorf("at-spi2-core is not installed (%w): %w", err, ErrMissing)
	}
	p, err := process.Start(process.Config{Program: launcher, Args: []string{"--launch-immediately"}, Env: d.Env()})
	if err != nil {
		return err
	}
	d.running = append(d.running, p)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	bus, err := dbus.Connect(d.Bus, dbus.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("session bus: %w", err)
	}
	defer bus.Close()
	if err := bus.AddMatchSignalContext(ctx, dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged")); err != nil {
		return err
	}
	changes := make(chan *dbus.Signal, 16)
	bus.Signal(changes)
	for {
		var address string
		err := bus.Object("org.a11y.Bus", "/org/a11y/bus").CallWithContext(ctx, "org.a11y.Bus.GetAddress", 0).Store(&address)
		if err == nil && address != "" {
			return nil
		}
		select {
		case <-changes:
		case <-p.Exited():
			return fmt.Errorf("%s ended: %w", launcher, p.Stop())
		case <-ctx.Done():
			return fmt.Errorf("%s gives no bus: %w", launcher, errors.Join(err, ctx.Err()))
		}
	}
}

// run starts a program that stays, and gives the line by which it says that it is
// there, which what describes.
func (d *Desktop) run(what string, wanted func(line string) bool, name string, args ...string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is not installed: %w", name, ErrMissing)
	}
	p, err := process.Start(process.Config{Program: path, Args: args, Env: d.Env()})
	if err != nil {
		return "", err
	}
	d.running = append(d.running, p)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return p.AwaitLine(ctx, what, wanted)
}

func (d *Desktop) path(name string) string { return filepath.Join(d.root, name) }

// runtime is the entry in their environment by which the programs of this desktop are
// known.
func (d *Desktop) runtime() string { return "XDG_RUNTIME_DIR=" + d.path("run") }

// Env is what a program needs in its environment, beside this process's own, to be
// on this desktop and on no other.
func (d *Desktop) Env() []string {
	return []string{
		"DISPLAY=" + d.Display,
		"DBUS_SESSION_BUS_ADDRESS=" + d.Bus,
		"DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + d.path("no-system-bus"),
		"HOME=" + d.Home,
		"XDG_CONFIG_HOME=" + filepath.Join(d.Home, ".config"),
		"XDG_DATA_HOME=" + filepath.Join(d.Home, ".local", "share"),
		"XDG_STATE_HOME=" + filepath.Join(d.Home, ".local", "state"),
		"XDG_CACHE_HOME=" + filepath.Join(d.Home, ".cache"),
		d.runtime(),
		"XDG_SESSION_TYPE=x11", "XDG_SESSION_ID=", "XDG_CURRENT_DESKTOP=", "DESKTOP_SESSION=", "WAYLAND_DISPLAY=", "XAUTHORITY=",
		"GDK_BACKEND=x11", "GDK_SCALE=", "GTK_THEME=", "GTK_MODULES=", "GTK_IM_MODULE=", "NO_AT_BRIDGE=", "AT_SPI_BUS_ADDRESS=",
		// Settings and files go no ways of the machine's desktop.
		"GSETTINGS_BACKEND=memory", "GIO_USE_VFS=local", "GIO_USE_VOLUME_MONITOR=unix",
		"LANGUAGE=", "LC_ALL=C.UTF-8", "TZ=UTC",
	}
}

// Setenv gives this process that environment. Only a TestMain may call it, before
// GTK looks.
func (d *Desktop) Setenv() error {
	for _, entry := range d.Env() {
		name, value, _ := strings.Cut(entry, "=")
		if value == "" {
			if err := os.Unsetenv(name); err != nil {
				return err
			}
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the desktop, in the order opposite to that of its start, and all that
// still runs on it: what serves assistive technology starts programs that stay.
// Idempotent.
func (d *Desktop) Close() {
	if len(d.running) > 0 {
		_ = process.EndAll(d.runtime(), d.running...)
	}
	for len(d.running) > 0 {
		last := len(d.running) - 1
		_ = d.running[last].Stop() // how they end says nothing of what was tested
		d.running = d.running[:last]
	}
	_ = os.RemoveAll(d.root)
}
