package desktop_test

import (
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
	"go.uber.org/goleak"

	"github.com/parley-chat/parley/test/ui/desktop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Two desktops know nothing of each other, and leave nothing.
func TestDesktops(t *testing.T) {
	a, b := desktop.New(t, desktop.Config{Width: 333, Height: 111}), desktop.New(t, desktop.Config{Width: 320, Height: 200})
	if a.Display == b.Display || a.Bus == b.Bus || a.Home == b.Home {
		t.Fatalf("%+v and %+v share something", a, b)
	}
	if got, err := size(b); err != nil || got != image.Pt(320, 200) {
		t.Errorf("the screen is of %v, %v", got, err)
	}

	busA, busB := connect(t, a.Bus), connect(t, b.Bus)
	defer busA.Close()
	defer busB.Close()
	if reply, err := busA.RequestName("chat.parley.Test", dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	var owned bool
	if err := busB.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, "chat.parley.Test").Store(&owned); err != nil || owned {
		t.Errorf("a name of one bus is on the other: %v, %v", owned, err)
	}
	var can []string
	if err := busA.BusObject().Call("org.freedesktop.DBus.ListActivatableNames", 0).Store(&can); err != nil || len(can) != 1 {
		t.Errorf("the bus would start %v: %v", can, err)
	}

	root := filepath.Dir(a.Home)
	a.Close()
	a.Close()
	if _, err := os.Stat(root); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", root, err)
	}
	// Another test's server may have the number by now.
	if got, err := size(a); err == nil && got == image.Pt(333, 111) {
		t.Error("the X server still answers")
	}
	if _, err := dbus.Connect(a.Bus); err == nil {
		t.Error("the bus still answers")
	}
}

// size is that of a desktop's screen.
func size(d *desktop.Desktop) (image.Point, error) {
	conn, err := xgb.NewConnDisplay(d.Display)
	if err != nil {
		return image.Point{}, err
	}
	defer conn.Close()
	screen := xproto.Setup(conn).DefaultScreen(conn)
	return image.Pt(int(screen.WidthInPixels), int(screen.HeightInPixels)), nil
}

func TestEnvironment(t *testing.T) {
	t.Setenv("WAYLAND_DISPLAY", "wayland-0")
	d := desktop.New(t, desktop.Config{BusOnly: true})
	cmd := exec.Command("env")
	cmd.Env = append(os.Environ(), d.Env()...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY":
			if value != "" {
				t.Errorf("%s leads to another screen: %s", name, value)
			}
		case "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME":
			if !strings.HasPrefix(value, filepath.Dir(d.Home)) {
				t.Errorf("%s is %s, not below %s", name, value, filepath.Dir(d.Home))
			}
		}
	}
}

func connect(t *testing.T, address string) *dbus.Conn {
	t.Helper()
	bus, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	return bus
}
